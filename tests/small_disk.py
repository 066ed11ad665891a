"""A file system of a few megabytes, which a test can fill."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import disk_usage

import pytest

MIB = 1024 * 1024


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system in memory on a folder; skip the test where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a file system")
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def filled(disk: Path, *, keep: int = 0) -> Iterator[None]:
    """Fill a disk but for so many bytes; free the space at the end."""
    file = disk / "filling"
    try:
        with file.open("wb", buffering=0) as filling, suppress(OSError):
            while disk_usage(disk).free > keep:
                filling.write(bytes(64 * 1024))
        yield
    finally:
        file.unlink()
