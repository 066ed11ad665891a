"""The commands that run an engine, show its status and stop it."""

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
"""The exit code of `status` when no engine runs, as for system services."""

STOP_SECONDS: Final = 30.0
SIGNAL_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.05
LOG_BYTES: Final = 1_000_000
OLD_LOGS: Final = 3


async def engine(settings: Settings, *, ready: int | None) -> int:
    """Serve the clients of the data folder's socket until none has come for a while.

    ready: a file descriptor to write to when the socket listens; given, this is a background process. The socket must
    listen soon, so slow imports come after it: clients wait in its backlog.
    """
    run_dir = RunDir(str(settings.home))
    with _usable(run_dir):
        lock = await _lock_engine(run_dir, replace=False)
        if lock is None and ready is not None:
            return 0
        if lock is None:
            raise Unavailable(f"An engine (process {run_dir.engine_pid()}) already serves {run_dir.home}.")
        if ready is not None:
            _log_to_file(Path(run_dir.log))
        listener = run_dir.listen()
    if ready is not None:
        with suppress(BrokenPipeError):  # the process that started this one has exited; other clients may come
            os.write(ready, LISTENING)
        os.close(ready)
    return await _run(settings, run_dir, lock, listener, foreground=False)


async def serve(settings: Settings) -> int:
    """Serve any number of clients over HTTP and the data folder's socket until stopped."""
    from memos_mcp.transports.http_address import check_address

    check_address(settings)  # before a background engine is stopped in vain
    run_dir = RunDir(str(settings.home))
    with _usable(run_dir):
        async with _prevent_start(run_dir):
            lock = await _lock_engine(run_dir, replace=True)
            if lock is None:
                raise Unavailable(f"memos-as serve (process {run_dir.engine_pid()}) already serves {run_dir.home}.")
            listener = _listener(run_dir)
    return await _run(settings, run_dir, lock, listener, foreground=True)


async def _run(settings: Settings, run_dir: RunDir, lock: int, listener: socket | None, *, foreground: bool) -> int:
    from memos_mcp.engine.run import run_engine

    try:
        await run_engine(settings, run_dir, listener, foreground=foreground)
    finally:
        os.close(lock)
    return 0


async def status(settings: Settings, *, as_json: bool) -> int:
    """Show the engine of the data folder; return `NO_ENGINE` when there is none."""
    run_dir = RunDir(str(settings.home))
    with _usable(run_dir):
        payload = await _try_ask(run_dir, "status")
    pid = run_dir.engine_pid()
    if payload is None and pid is not None:
        raise Unavailable(f"The engine of {run_dir.home} (process {pid}) does not answer. To stop it: memos-as stop")
    if as_json:
        shown = {name: value for name, value in (payload or {}).items() if name not in {"memos-as", "answer"}}
        print(json.dumps({"running": payload is not None, "home": run_dir.home, **shown}))
    else:
        print("\n".join(_status_lines(payload)) if payload else f"no engine runs for {run_dir.home}")
    return 0 if payload else NO_ENGINE


async def stop(settings: Settings) -> int:
    """Ask the engine to stop, and wait until it has; kill it if it does not."""
    run_dir = RunDir(str(settings.home))
    with _usable(run_dir):
        print(await _stop_engine(settings, run_dir))
    return 0


@asynccontextmanager
async def _prevent_start(run_dir: RunDir) -> AsyncIterator[None]:
    """Keep clients from starting another engine when theirs stops."""
    run_dir.prepare()
    start = None
    with anyio.move_on_after(STOP_SECONDS):
        while (start := run_dir.try_lock(START_LOCK)) is None:  # noqa: ASYNC110  # another process gives no event
            await anyio.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        if start is not None:
            os.close(start)


async def _lock_engine(run_dir: RunDir, *, replace: bool) -> int | None:
    """Return the data folder's lock once it is free, or None when an engine keeps it. replace: ask it to stop."""
    run_dir.prepare()
    with anyio.move_on_after(STOP_SECONDS):
        while (lock := run_dir.try_lock(ENGINE_LOCK)) is None:
            payload = await _try_ask(run_dir, "status")
            if payload is not None and not payload["leaving"]:
                if payload["foreground"] or not replace:
                    return None
                await _try_ask(run_dir, "stop")
            await anyio.sleep(POLL_SECONDS)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        return lock
    raise Unavailable(
        f"The engine of {run_dir.home} (process {run_dir.engine_pid()}) has not stopped within {STOP_SECONDS:g} s. "
        "To stop it: memos-as stop"
    )


async def _try_ask(run_dir: RunDir, want: Want) -> dict[str, Any] | None:
    """Return the engine's answer, or None."""
    with suppress(TimeoutError):
        return await ask(run_dir, want)
    return None


async def _stop_engine(settings: Settings, run_dir: RunDir) -> str:
    """Stop the engine, by force if necessary; return the message that reports it."""
    pid = run_dir.engine_pid()
    if pid is None:
        await _clean_up(settings, run_dir)
        return f"no engine runs for {run_dir.home}"
    if await _stops_when_asked(run_dir, pid):
        return f"the engine (process {pid}) has stopped"
    if await _exits_on(run_dir, pid, signal.SIGTERM):
        return f"the engine (process {pid}) did not answer; SIGTERM stopped it"
    if await _exits_on(run_dir, pid, signal.SIGKILL):
        await _clean_up(settings, run_dir)
        return f"the engine (process {pid}) did not answer; SIGKILL stopped it. What it acknowledged is stored."
    raise Unavailable(f"The engine of {run_dir.home} (process {pid}) cannot be stopped.")


async def _stops_when_asked(run_dir: RunDir, pid: int) -> bool:
    """Ask the engine to stop; return whether it has. Another client may have started the next one."""
    with anyio.move_on_after(STOP_SECONDS), suppress(TimeoutError):
        while run_dir.engine_pid() == pid:
            await ask(run_dir, "stop")
            await anyio.sleep(POLL_SECONDS)
        return True
    return False


async def _exits_on(run_dir: RunDir, pid: int, number: signal.Signals) -> bool:
    """Send the engine a signal; return whether it has exited."""
    with anyio.move_on_after(SIGNAL_SECONDS), suppress(ProcessLookupError):
        os.kill(pid, number)
        while run_dir.engine_pid() == pid:  # noqa: ASYNC110  # another process gives no event
            await anyio.sleep(POLL_SECONDS)
    return run_dir.engine_pid() != pid


async def _clean_up(settings: Settings, run_dir: RunDir) -> None:
    """Remove the socket of a killed engine, and stop its embedded Postgres."""
    from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

    with suppress(FileNotFoundError):  # there has never been one
        if (lock := run_dir.try_lock(ENGINE_LOCK)) is not None:
            run_dir.remove_socket()
            os.close(lock)
    if settings.database_url is None:
        await EmbeddedPostgres(settings.postgres_folder).clear_up()


def _status_lines(payload: Mapping[str, Any]) -> list[str]:
    lifetime = (
        "the engine runs until it is stopped"
        if payload["foreground"]
        else f"the engine stops {payload['idle_leaves_after']:g} s after the last"
    )
    return [
        f"memos-as {payload['version']}, process {payload['pid']}, since {payload['started_at']}",
        f"{'home:':10} {payload['home']}",
        f"{'clients:':10} {payload['clients']} ({'the engine is stopping' if payload['leaving'] else lifetime})",
        f"{'http:':10} {payload['http'] or 'closed'}",
        *(f"{part + ':':10} {state}" for part, state in payload["parts"].items()),
    ]


def _listener(run_dir: RunDir) -> socket | None:
    """Return the socket, or None when the file system does not support sockets."""
    try:
        return run_dir.listen()
    except OSError as error:
        logger.warning("%s cannot hold a socket (%s): serving HTTP only", run_dir.folder, error.strerror)
        return None


@contextmanager
def _usable(run_dir: RunDir) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"{run_dir.home} cannot be used: {error.strerror}. Set MEMOS_HOME to a folder that this user may write to."
        ) from error


def _log_to_file(path: Path) -> None:
    """Log to a file of bounded size; redirect stdout and stderr to it."""
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
