"""Locks of open files between processes. A lock ends when the process that holds it closes the file or exits.

Windows locks ranges of bytes, each for one process only. There an exclusive lock takes the whole range, and a shared
one any byte of it, so that up to `SLOTS` processes share a file.
"""

import os
from contextlib import suppress
from importlib import import_module
from typing import Any, Final

FIRST: Final = 1 << 30
"""The first locked byte on Windows: locked bytes cannot be read, so they are beyond the end of the file."""

SLOTS: Final = 64

try:
    _fcntl: Any = import_module("fcntl")
except ImportError:
    _fcntl = None


def try_lock(descriptor: int, *, exclusive: bool = True) -> bool:
    """Lock a file, or change the kind of its lock, without waiting; return whether that succeeded.

    After a failed change of its kind, the file may not be locked at all. Elsewhere than on Windows, processes that
    inherit the descriptor hold the lock too. Raises `OSError` when the file cannot be locked for another reason.
    """
    if _fcntl is None:
        return _try_bytes(descriptor, exclusive=exclusive)
    try:
        _fcntl.flock(descriptor, (_fcntl.LOCK_EX if exclusive else _fcntl.LOCK_SH) | _fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _try_bytes(descriptor: int, *, exclusive: bool) -> bool:
    msvcrt: Any = import_module("msvcrt")
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        _unlock(descriptor, msvcrt)
        ranges = [(FIRST, SLOTS)] if exclusive else [(FIRST + slot, 1) for slot in range(SLOTS)]
        for first, count in ranges:
            os.lseek(descriptor, first, os.SEEK_SET)
            with suppress(PermissionError):
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, count)
                return True
        return False
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


def _unlock(descriptor: int, msvcrt: Any) -> None:
    """Give up the lock that this descriptor has, of either kind; only the range that was locked can be unlocked."""
    for first, count in [(FIRST, SLOTS), *((FIRST + slot, 1) for slot in range(SLOTS))]:
        os.lseek(descriptor, first, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, count)
            return
