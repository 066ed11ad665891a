"""Finds the engine of a data folder, or starts it."""

import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final

from memos_mcp.ipc.handshake import MAX_BYTES, decode
from memos_mcp.ipc.launch import EngineLaunch
from memos_mcp.ipc.run_dir import START_LOCK, RunDir

SEEK_SECONDS: Final = 60.0
"""Longer than an engine takes to leave, and the next one to begin, on a busy machine."""

AGAIN_SECONDS: Final = 0.02

LAUNCHES: Final = 5
"""After so many engines that ended before they said welcome, another would do the same."""

CAUSE_IN_LOG: Final = "The cause stands in logs/engine.log in the data folder (MEMOS_HOME)."

Wait = tuple[int | None, float]
"""A descriptor that should become readable, and for how many seconds that may be waited for."""


class Unreachable(Exception):
    """There is no engine for this client, and why."""


def seek(
    place: RunDir, greeting: bytes, environment: Mapping[str, str], tell: Callable[[str], None]
) -> Generator[Wait, bool | None, socket.socket]:
    """Return a connection on which the engine has said welcome; raise `Unreachable`.

    Yields what to wait for, and is sent whether it came. At any one time one program starts an engine.
    """
    deadline, tries = time.monotonic() + SEEK_SECONDS, iter(range(LAUNCHES))
    try:
        while time.monotonic() < deadline:
            connection = place.connect() or (yield from _start(place, environment, deadline, tries))
            if connection is not None and (yield from _is_welcome(connection, greeting, deadline, tell)):
                return connection
            yield None, AGAIN_SECONDS
    except OSError as error:
        tell(f"{place.home}: {error}")
        raise Unreachable(
            f"The data folder cannot be used: {error.strerror}. Set MEMOS_HOME to a folder that this user may write to."
        ) from error
    raise Unreachable(
        f"The engine{_named(place)} did not answer within {SEEK_SECONDS:g} seconds. Repeat the call; "
        "if that does not help, run: memos-as stop"
    )


def _start(
    place: RunDir, environment: Mapping[str, str], deadline: float, tries: Iterator[int]
) -> Generator[Wait, bool | None, socket.socket | None]:
    """Start an engine unless somebody else does; return a connection, or None when there is none yet."""
    place.prepare()
    while (lock := place.hold(START_LOCK)) is None:
        yield None, AGAIN_SECONDS
        if (connection := place.connect()) is not None or time.monotonic() > deadline:
            return connection
    try:
        return place.connect() or (yield from _launch(place, environment, deadline, tries))
    finally:
        os.close(lock)


def _launch(
    place: RunDir, environment: Mapping[str, str], deadline: float, tries: Iterator[int]
) -> Generator[Wait, bool | None, socket.socket | None]:
    if next(tries, None) is None:
        raise Unreachable(f"The engine could not start. {CAUSE_IN_LOG}")
    engine = EngineLaunch(place, environment)
    try:
        if not (yield engine.ready, deadline - time.monotonic()):
            return None
        if engine.listens():
            return place.connect()
        if (reason := engine.reason()) is not None:
            raise Unreachable(f"The engine could not start: {reason}")
        return None
    finally:
        engine.close()


def _is_welcome(
    connection: socket.socket, greeting: bytes, deadline: float, tell: Callable[[str], None]
) -> Generator[Wait, bool | None, bool]:
    """Say who comes; tell whether the engine takes this client. It closes the connection otherwise."""
    told: dict[str, Any] = {}
    try:
        told = (yield from _ask(connection, greeting, deadline)) or {}
    except ConnectionError:
        pass  # it left at this very moment
    finally:
        if told.get("answer") != "welcome":
            connection.close()
    if told.get("answer") == "refused":
        raise Unreachable(str(told.get("reason")))
    if "note" in told:
        tell(str(told["note"]))
    return told.get("answer") == "welcome"


def _ask(
    connection: socket.socket, question: bytes, deadline: float
) -> Generator[Wait, bool | None, dict[str, Any] | None]:
    """Return the engine's private answer, or None when it is gone or says something else."""
    connection.sendall(question)
    said = b""
    while not said.endswith(b"\n") and len(said) < MAX_BYTES:
        if not (yield connection.fileno(), deadline - time.monotonic()):
            return None
        part = connection.recv(MAX_BYTES, socket.MSG_PEEK)
        if not part:
            return None
        said += connection.recv(part.find(b"\n") + 1 or len(part))  # what follows the line is for the client
    return decode(said)


def _named(place: RunDir) -> str:
    holder = place.holder()
    return "" if holder is None else f" (process {holder})"
