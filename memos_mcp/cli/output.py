"""Writes the answers of commands to stdout, and what people should know besides to stderr."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from memos_mcp.domain.errors import Unavailable
from memos_mcp.settings import Settings

CLOSED_PIPE: Final = 141
"""The exit code that shells report for a program that SIGPIPE ended."""

_CONTROLS: Final = re.compile("[\x7f-\x9f\u200b\u2028-\u202e\u2060-\u206f\ufeff]")
"""What JSON may hold unescaped and a terminal may obey; escaped, it is the same text."""


def print_json(value: Any) -> None:
    """Print a value as JSON, with its texts unchanged."""
    is_unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_unicode, indent=2)
    print_lines([_CONTROLS.sub(lambda char: f"\\u{ord(char[0]):04x}", text)])


def print_rows(rows: Iterable[Iterable[str]]) -> None:
    """Print rows of printable fields, separated by tabs."""
    print_lines("\t".join(row) for row in rows)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines of printable text."""
    with checked_output():
        for line in lines:
            print(line)


def notice(message: str) -> None:
    """Print a message beside the answer."""
    if sys.stderr is not None:  # print() would take stdout instead
        print(f"memos-as: {message}", file=sys.stderr)


@contextmanager
def naming_new_data(settings: Settings) -> Iterator[None]:
    """Print where a command has made a data folder, if there was none before."""
    was_there = settings.postgres_folder.exists()
    yield
    if not was_there and settings.postgres_folder.exists():
        notice(f"Made a new data folder with a PostgreSQL of its own: {settings.home}")


@contextmanager
def checked_output() -> Iterator[None]:
    """Report what cannot be written; a pipe that was closed early raises `BrokenPipeError`."""
    try:
        if hasattr(sys.stdout, "reconfigure"):  # a terminal may lack characters of the text
            sys.stdout.reconfigure(errors="backslashreplace")
        yield
        if sys.stdout is not None:  # closed by the process that started this one
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise
    except OSError as error:
        _discard_output()
        raise Unavailable(f"The output cannot be written: {error.strerror or error}.") from error


def run_and_flush(run: Callable[[], int]) -> int:
    """Run a program until its output is written; return its exit code, or that of an output that cannot be written.

    What is buffered is written here, since the interpreter would report at its exit that it cannot.
    """
    code = 0
    try:
        try:
            code = run()
        finally:
            with checked_output():
                pass
    except* BrokenPipeError:  # also one from inside a task group
        _discard_output()
        code = CLOSED_PIPE
    except* Unavailable as errors:
        notice(str(errors.exceptions[0]))
        code = 1
    return code


def _discard_output() -> None:
    """Discard what is buffered and what is still printed, for files that cannot be written."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(nothing, stream.fileno())
    os.close(nothing)
