"""The commands that run an engine, show it and end it."""

import logging
import os
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

import anyio

from memos_mcp.domain.errors import Unavailable
from memos_mcp.engine.questions import ask
from memos_mcp.rendezvous.launch import LISTENING, STDERR, STDOUT
from memos_mcp.rendezvous.place import ENGINE_LOCK, Place
from memos_mcp.settings import Settings

logger = logging.getLogger(__name__)

LEAVING_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.05
LOG_BYTES: Final = 1_000_000
OLD_LOGS: Final = 3


async def engine(settings: Settings, *, ready: int | None) -> int:
    """Serve the clients of the data folder's socket until nobody has come for a while.

    `ready`: a descriptor that is told when the socket is there, which makes this a background process. It must be
    there soon, so what takes long to import comes after it: the socket holds the clients until then.
    """
    place = Place(str(settings.home))
    try:
        place.prepare()
        lock = await _take(place, replace=False)
        if lock is None and ready is not None:
            return 0
        if lock is None:
            raise Unavailable(f"An engine (process {place.holder()}) already serves {place.home}.")
        listener = place.listen()
    except OSError as error:
        raise Unavailable(f"{place.home} cannot hold an engine's socket and lock: {error.strerror}.") from error
    if ready is not None:
        os.write(ready, LISTENING)
        os.close(ready)
        _log_to_file(place.log)
    try:
        from memos_mcp.engine.run import run_engine

        await run_engine(settings, place, listener, foreground=False)
    finally:
        os.close(lock)
    return 0


async def _take(place: Place, *, replace: bool) -> int | None:
    """Return the data folder's lock once it is free, or None when an engine stays; `replace`: ask it to leave."""
    with anyio.move_on_after(LEAVING_SECONDS):
        while (lock := place.hold(ENGINE_LOCK)) is None:
            told = await ask(place, "status")
            if told is not None and not told["leaving"]:
                if not replace or told["foreground"]:
                    return None
                await ask(place, "stop")
            await anyio.sleep(LOOK_SECONDS)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        return lock
    raise Unavailable(
        f"The engine of {place.home} (process {place.holder()}) has not left within {LEAVING_SECONDS:g} seconds. "
        "End it: memos-as stop"
    )


def _log_to_file(path: str) -> None:
    """Log to a file of bounded size, which also gets what is written to stdout and stderr."""
    _redirect(path)
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
