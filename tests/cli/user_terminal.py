"""Runs memos-as as a user does: on a terminal of a certain width, or with its output in a pipe or file."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unicodedata
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests import preloaded

MEMOS = str(Path(sys.executable).with_name("memos-as"))
SECONDS = 60.0

STYLES = re.compile(r"\x1b\[[\d;]*m")


@dataclass
class Terminal:
    """A process that has this terminal as its controlling one; what it prints is read until it ends."""

    environment: Mapping[str, str]
    columns: int = 100
    process: preloaded.Command | None = None
    printed: str = ""
    _controller: int = field(default=-1, repr=False)
    _decoder: Any = field(default_factory=getincrementaldecoder("utf-8"), repr=False)

    def start(self, *arguments: str) -> preloaded.Command:
        """Start a command on the terminal."""
        self._controller, user_end = pty.openpty()
        fcntl.ioctl(user_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, self.columns, 0, 0))
        environment = {"TERM": "xterm-256color", **self.environment}
        self.process = preloaded.start(arguments, environment, [user_end] * 3, terminal=True)
        os.close(user_end)
        return self.process

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self._controller, keys.encode())

    def read_until(self, text: str) -> None:
        """Read until the process has printed this text."""
        while text not in self.printed:
            assert self._read(), f"the process has ended: {self.printed}"

    def finish(self) -> int:
        """Read until the process ends; return its exit code."""
        assert self.process is not None
        while self._read():
            pass
        return self.process.wait(SECONDS)

    def _read(self) -> bool:
        """Read what is printed next; return whether there was anything before the process ended."""
        try:
            part = os.read(self._controller, 65_536)
        except OSError:  # the last process has closed the terminal
            return False
        self.printed += self._decoder.decode(part).replace("\r\n", "\n")
        return bool(part)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._controller)


def on_terminal(environment: Mapping[str, str], columns: int, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal; return its exit code and what it printed."""
    with Terminal(environment, columns) as terminal:
        terminal.start(*arguments)
        return terminal.finish(), terminal.printed


def in_pipe(
    environment: Mapping[str, str], arguments: Sequence[str], *, input: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run a command without a terminal; return it when it has ended.

    Settings of Python count when a process begins, so with one the program is a new process, with pipes.
    """
    if any(name.startswith("PYTHON") for name in environment):
        return subprocess.run(
            [MEMOS, *arguments],
            env=environment,
            input=input,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    return preloaded.run(arguments, environment, input=input, timeout=SECONDS)


def user_of(home: Path) -> dict[str, str]:
    """The environment of a user with this home, without settings of the process that runs the tests."""
    own = ("MEMOS_", "COLUMNS", "PYTHON")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)} | {"MEMOS_HOME": str(home)}


def without_styles(printed: str) -> str:
    return STYLES.sub("", printed)


def cells(line: str) -> int:
    """Return how many columns of a terminal a line takes."""
    marks = {"Mn", "Me", "Cf"}
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in line)
    return wide + sum(unicodedata.category(char) not in marks for char in line)
