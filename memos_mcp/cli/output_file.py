"""The file that a command writes: one that is complete or does not exist, or stdout."""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from memos_mcp.archive.new_file import CheckedFile, PipeClosed, new_file
from memos_mcp.domain.errors import Invalid

STDOUT: Final = Path("-")


@contextmanager
def opened_output(path: Path, is_former: Callable[[Path], bool]) -> Iterator[BinaryIO]:
    """Yield the file to write to. An existing one is replaced if it `is_former`, an earlier output of the command."""
    if path == STDOUT:
        try:
            with io.BufferedWriter(CheckedFile(sys.stdout.fileno(), "stdout", closefd=False)) as file:
                yield file
        except PipeClosed:
            raise BrokenPipeError from None  # as every command does
        return
    if os.path.lexists(path) and not is_former(path):
        raise Invalid(f"{path} exists and is another kind of file. Name another one; nothing was changed.")
    with new_file(path) as file:
        yield file
