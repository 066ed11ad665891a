"""Connects to the engine of a data folder, and starts one if there is none."""

import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Final

from memos_mcp.ipc.handshake import Wait, ask
from memos_mcp.ipc.launch import EngineLaunch
from memos_mcp.ipc.run_dir import START_LOCK, RunDir

CONNECT_SECONDS: Final = 60.0
"""Longer than one engine takes to stop and the next to start on a busy machine."""

RETRY_SECONDS: Final = 0.02

MAX_LAUNCHES: Final = 5
"""After so many engines that exited before they answered, another one would do the same."""

SEE_LOG: Final = "See logs/engine.log in the data folder (MEMOS_HOME) for the cause."


class Unreachable(Exception):
    """No engine serves this client; the message says why."""


def connect(
    run_dir: RunDir, request: bytes, environment: Mapping[str, str], report: Callable[[str], None]
) -> Generator[Wait, bool | None, socket.socket]:
    """Return a connection whose engine has accepted this client; raise `Unreachable`.

    Yields what to wait for, and is sent whether it happened. At any one time one process starts an engine.
    """
    deadline, launches = time.monotonic() + CONNECT_SECONDS, iter(range(MAX_LAUNCHES))
    try:
        while time.monotonic() < deadline:
            connection = run_dir.connect() or (yield from _start(run_dir, environment, deadline, launches))
            if connection is not None and (yield from _is_welcome(connection, request, deadline, report)):
                return connection
            yield None, RETRY_SECONDS
    except OSError as error:
        report(f"{run_dir.home}: {error}")
        raise Unreachable(
            f"The data folder cannot be used: {error.strerror}. Set MEMOS_HOME to a folder that this user may write to."
        ) from error
    pid = run_dir.engine_pid()
    raise Unreachable(
        f"The engine{'' if pid is None else f' (process {pid})'} did not answer within {CONNECT_SECONDS:g} seconds. "
        "Repeat the call; if that does not help, run: memos-as stop"
    )


def _start(
    run_dir: RunDir, environment: Mapping[str, str], deadline: float, launches: Iterator[int]
) -> Generator[Wait, bool | None, socket.socket | None]:
    """Start an engine unless another process does; return a connection, or None when there is none yet."""
    run_dir.prepare()
    while (lock := run_dir.try_lock(START_LOCK)) is None:
        yield None, RETRY_SECONDS
        if (connection := run_dir.connect()) is not None or time.monotonic() > deadline:
            return connection
    try:
        return run_dir.connect() or (yield from _launch(run_dir, environment, deadline, launches))
    finally:
        os.close(lock)


def _launch(
    run_dir: RunDir, environment: Mapping[str, str], deadline: float, launches: Iterator[int]
) -> Generator[Wait, bool | None, socket.socket | None]:
    if next(launches, None) is None:
        raise Unreachable(f"The engine could not start. {SEE_LOG}")
    engine = EngineLaunch(run_dir, environment)
    try:
        if not (yield engine.ready, deadline - time.monotonic()):
            return None
        if engine.listens():
            return run_dir.connect()
        if (reason := engine.reason()) is not None:
            raise Unreachable(f"The engine could not start: {reason}")
        return None
    finally:
        engine.close()


def _is_welcome(
    connection: socket.socket, request: bytes, deadline: float, report: Callable[[str], None]
) -> Generator[Wait, bool | None, bool]:
    """Make the handshake; return whether the engine accepts this client. The connection is closed otherwise."""
    answer, is_welcome = {}, False
    try:
        answer = (yield from ask(connection, request, deadline)) or {}
        is_welcome = answer.get("answer") == "welcome"
    finally:
        if not is_welcome:
            connection.close()
    if answer.get("answer") == "refused":
        raise Unreachable(str(answer.get("reason")))
    if "note" in answer:
        report(str(answer["note"]))
    return is_welcome
