"""The commands that run an engine, show it and end it."""

import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from socket import socket
from typing import Any, Final

import anyio

from memos_mcp.domain.errors import Unavailable
from memos_mcp.engine.control import ask
from memos_mcp.ipc.handshake import Want
from memos_mcp.ipc.launch import LISTENING, STDERR, STDOUT
from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir
from memos_mcp.settings import Settings

logger = logging.getLogger(__name__)

NO_ENGINE: Final = 3
"""The exit code of `status` when no engine runs, as of services elsewhere."""

LEAVING_SECONDS: Final = 30.0
SIGNAL_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.05
LOG_BYTES: Final = 1_000_000
OLD_LOGS: Final = 3


async def engine(settings: Settings, *, ready: int | None) -> int:
    """Serve the clients of the data folder's socket until nobody has come for a while.

    `ready`: a descriptor that is told when the socket is there, which makes this a background process. It must be
    there soon, so what takes long to import comes after it: the socket holds the clients until then.
    """
    place = RunDir(str(settings.home))
    with _usable(place):
        lock = await _take(place, replace=False)
        if lock is None and ready is not None:
            return 0
        if lock is None:
            raise Unavailable(f"An engine (process {place.holder()}) already serves {place.home}.")
        if ready is not None:
            _log_to_file(Path(place.log))
        listener = place.listen()
    if ready is not None:
        with suppress(BrokenPipeError):  # who started this has left: others may come
            os.write(ready, LISTENING)
        os.close(ready)
    return await _run(settings, place, lock, listener, foreground=False)


async def serve(settings: Settings) -> int:
    """Serve any number of clients over HTTP and the data folder's socket until told to stop."""
    from memos_mcp.transports.http import check_address

    check_address(settings)  # before an engine in the background leaves for nothing
    place = RunDir(str(settings.home))
    with _usable(place):
        async with _no_other_start(place):
            lock = await _take(place, replace=True)
            if lock is None:
                raise Unavailable(f"memos-as serve (process {place.holder()}) already serves {place.home}.")
            listener = _listener(place)
    return await _run(settings, place, lock, listener, foreground=True)


async def _run(settings: Settings, place: RunDir, lock: int, listener: socket | None, *, foreground: bool) -> int:
    from memos_mcp.engine.run import run_engine

    try:
        await run_engine(settings, place, listener, foreground=foreground)
    finally:
        os.close(lock)
    return 0


async def status(settings: Settings, *, as_json: bool) -> int:
    """Show the engine of the data folder; return `NO_ENGINE` when there is none."""
    place = RunDir(str(settings.home))
    with _usable(place):
        told = await _heard(place, "status")
    holder = place.holder()
    if told is None and holder is not None:
        raise Unavailable(f"The engine of {place.home} (process {holder}) does not answer. To end it: memos-as stop")
    if as_json:
        shown = {name: value for name, value in (told or {}).items() if name not in {"memos-as", "answer"}}
        print(json.dumps({"running": told is not None, "home": place.home, **shown}))
    else:
        print("\n".join(_lines(told)) if told else f"no engine runs for {place.home}")
    return 0 if told else NO_ENGINE


async def stop(settings: Settings) -> int:
    """Ask the engine to leave, and wait until it has; end it if it does not."""
    place = RunDir(str(settings.home))
    with _usable(place):
        print(await _ended(settings, place))
    return 0


@asynccontextmanager
async def _no_other_start(place: RunDir) -> AsyncIterator[None]:
    """Keep clients from starting an engine when the one that they have leaves."""
    place.prepare()
    start = None
    with anyio.move_on_after(LEAVING_SECONDS):
        while (start := place.hold(START_LOCK)) is None:  # noqa: ASYNC110  # another process gives no event
            await anyio.sleep(LOOK_SECONDS)
    try:
        yield
    finally:
        if start is not None:
            os.close(start)


async def _take(place: RunDir, *, replace: bool) -> int | None:
    """Return the data folder's lock once it is free, or None when an engine stays; `replace`: ask it to leave."""
    place.prepare()
    with anyio.move_on_after(LEAVING_SECONDS):
        while (lock := place.hold(ENGINE_LOCK)) is None:
            told = await _heard(place, "status")
            if told is not None and not told["leaving"]:
                if told["foreground"] or not replace:
                    return None
                await _heard(place, "stop")
            await anyio.sleep(LOOK_SECONDS)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        return lock
    raise Unavailable(
        f"The engine of {place.home} (process {place.holder()}) has not left within {LEAVING_SECONDS:g} seconds. "
        "To end it: memos-as stop"
    )


async def _heard(place: RunDir, want: Want) -> dict[str, Any] | None:
    """Return what the engine answers, if it does."""
    with suppress(TimeoutError):
        return await ask(place, want)
    return None


async def _ended(settings: Settings, place: RunDir) -> str:
    """End the engine, by force if need be; return what there is to say of it."""
    process = place.holder()
    if process is None:
        await _clear_up(settings, place)
        return f"no engine runs for {place.home}"
    if await _leaves(place, process):
        return f"the engine (process {process}) has left"
    if await _ends(place, process, signal.SIGTERM):
        return f"the engine (process {process}) did not answer; SIGTERM ended it"
    if await _ends(place, process, signal.SIGKILL):
        await _clear_up(settings, place)
        return f"the engine (process {process}) did not answer; SIGKILL ended it. What it acknowledged is stored."
    raise Unavailable(f"The engine of {place.home} (process {process}) cannot be ended.")


async def _leaves(place: RunDir, process: int) -> bool:
    """Ask the engine to leave; tell whether it has. A client that goes on may have started the next one."""
    with anyio.move_on_after(LEAVING_SECONDS), suppress(TimeoutError):
        while place.holder() == process:
            await ask(place, "stop")
            await anyio.sleep(LOOK_SECONDS)
        return True
    return False


async def _ends(place: RunDir, process: int, number: signal.Signals) -> bool:
    """Send the engine a signal; tell whether that has ended it."""
    with anyio.move_on_after(SIGNAL_SECONDS), suppress(ProcessLookupError):
        os.kill(process, number)
        while place.holder() == process:  # noqa: ASYNC110  # another process gives no event
            await anyio.sleep(LOOK_SECONDS)
    return place.holder() != process


async def _clear_up(settings: Settings, place: RunDir) -> None:
    """Remove the socket and stop the embedded Postgres that a killed engine has left behind."""
    from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

    with suppress(FileNotFoundError):  # there has never been one
        if (lock := place.hold(ENGINE_LOCK)) is not None:
            place.leave()
            os.close(lock)
    if settings.database_url is None:
        await EmbeddedPostgres(settings.home / "postgres").clear_up()


def _lines(told: Mapping[str, Any]) -> list[str]:
    stays = (
        "it stays until it is stopped"
        if told["foreground"]
        else f"the engine leaves {told['idle_leaves_after']:g} s after the last"
    )
    return [
        f"memos-as {told['version']}, process {told['pid']}, since {told['started_at']}",
        f"{'home:':10} {told['home']}",
        f"{'clients:':10} {told['clients']} ({'it is leaving' if told['leaving'] else stays})",
        f"{'http:':10} {told['http'] or 'closed'}",
        *(f"{part + ':':10} {state}" for part, state in told["parts"].items()),
    ]


def _listener(place: RunDir) -> socket | None:
    """Return the socket, unless the file system cannot hold one."""
    try:
        return place.listen()
    except OSError as error:
        logger.warning("%s cannot hold a socket (%s): serving HTTP alone", place.folder, error.strerror)
        return None


@contextmanager
def _usable(place: RunDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{place.home} cannot be used: {error.strerror}. Set MEMOS_HOME to a folder that this user may write to."
        ) from error


def _log_to_file(path: Path) -> None:
    """Log to a file of bounded size, which also gets what is written to stdout and stderr."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _redirect(str(path))
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8")
    handler.rotator = _rotate
    root = logging.getLogger()
    for former in list(root.handlers):
        handler.setFormatter(former.formatter)
        root.removeHandler(former)
    root.addHandler(handler)
    logging.getLogger("memos_mcp.engine").setLevel(min(root.level, logging.INFO))


def _rotate(path: str, older: str) -> None:
    Path(path).rename(older)
    _redirect(path)


def _redirect(path: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in (STDOUT, STDERR):
        os.dup2(log, descriptor)
    os.close(log)
