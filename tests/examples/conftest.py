"""Runs the examples as programs."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

Start = Callable[..., str]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program of the examples on a free port and return its address; stop it after the test."""
    with ExitStack() as running:
        yield lambda *arguments: running.enter_context(started(*arguments))


@contextmanager
def started(program: str, *arguments: str | Path) -> Iterator[str]:
    command = [sys.executable, EXAMPLES / program, "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split(": ")[1].strip()
        finally:
            process.terminate()
            process.wait(10)
