"""Bytes from and to a pipe or a socket by its file descriptor, without a thread."""

import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel

CHUNK_BYTES: Final = 64 * 1024

Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Returns the next bytes, or b"" at the end."""

Send: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Writes all of these bytes; raises `OSError` when the peer has closed."""


def receiving(fd: int) -> Receive:
    """Read from this file descriptor, which the caller owns. A lost connection is an end like any other."""
    os.set_blocking(fd, False)

    async def receive() -> bytes:
        # a peer that never stops sending must not keep the event loop from other tasks, nor from cancellation
        await anyio.lowlevel.checkpoint()
        while True:
            try:
                return os.read(fd, CHUNK_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(fd)
            except OSError:
                return b""

    return receive


def sending(fd: int) -> Send:
    """Write to this file descriptor, which the caller owns and may also read from."""
    os.set_blocking(fd, False)

    async def send(data: bytes) -> None:
        remaining = memoryview(data)
        while remaining:
            try:
                remaining = remaining[os.write(fd, remaining) :]
            except BlockingIOError:
                await anyio.wait_writable(fd)

    return send
