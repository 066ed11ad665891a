"""The parser of the command line: a wrong use ends in one line that says what to do."""

import argparse
from typing import NoReturn


class CommandParser(argparse.ArgumentParser):
    """A parser, and that of each command below it, which inherits this class."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")
