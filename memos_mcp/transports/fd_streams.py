"""Bytes from and to a pipe or a socket by its file descriptor, without a thread."""

import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio
import anyio.lowlevel

CHUNK_BYTES: Final = 64 * 1024

Receive: TypeAlias = Callable[[], Awaitable[bytes]]
"""Returns the next bytes, or none at the end."""

Send: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Writes all of these bytes; raises `OSError` when nobody can read them any more."""


def receiving(fd: int) -> Receive:
    """Read from this descriptor, which the caller owns; a peer that is gone is an end like any other."""
    os.set_blocking(fd, False)

    async def receive() -> bytes:
        # a peer that never stops sending must leave the loop to the others, and can be cancelled
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
    """Write to this descriptor, which the caller owns and may also read from."""
    os.set_blocking(fd, False)

    async def send(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(fd, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(fd)

    return send
