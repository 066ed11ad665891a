"""Runs a PostgreSQL cluster with the wheel's programs. All functions block: call them in a worker thread.

The server is started here and not by the wheel, whose own start fails with a space in the path, with a locale that is
not installed, and when recovery takes more than ten seconds.
"""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from tempfile import gettempdir, mkdtemp
from typing import Final
from urllib.parse import quote

from memos_mcp.postgres.embedded.bundled_programs import grant_to_server, run_program, server_ids, wheel

START_SECONDS: Final = 30
STOP_SECONDS: Final = 20
POLL_SECONDS: Final = 0.02
MAX_SOCKET_FOLDER_BYTES: Final = 80
"""The path of a socket may have 104 bytes on macOS and 108 on Linux, of which the file name needs some."""

_PLAIN_PATH: Final = re.compile(r"[\w/ .+@=-]+")
"""A path that neither Postgres, which reads a list of folders, nor its clients, which read a URL, could misread."""

_SOCKET_LOCK: Final = ".s.PGSQL.5432.lock"

_INCOMPLETE: Final = ".incomplete-"

# The lines of postmaster.pid.
_PORT, _SOCKETS, _HOST, _STATUS = 3, 4, 5, 7
_SETTINGS: Final = """\
# Written by memos-as at every start; edit postgresql.conf instead, which is read first.
listen_addresses = '{hosts}'
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = '64MB'
max_wal_size = '512MB'
wal_level = minimal
max_wal_senders = 0
max_parallel_workers_per_gather = 0
random_page_cost = 1.1
jit = off
autovacuum_naptime = '15s'
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_connections = off
"""
"""Small and quiet but fully durable: fsync, full_page_writes and synchronous_commit keep their defaults."""
_INCLUDE: Final = "\ninclude_if_exists = 'memos.conf'\n"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A data folder and its server.

    extra: lines of postgresql.conf that come before our settings. programs: the folder of those of another version.
    """

    data: Path
    extra: str = ""
    programs: Path | None = None

    def start(self) -> str:
        """Start the server if it is not running; return its URL with a `{database}` field. Raises `OSError`."""
        try:
            info = self._running()
            if info is None:
                self._prepare()
                info = self._started()
        except subprocess.SubprocessError as error:
            raise OSError(f"the embedded PostgreSQL did not start; its log is {self.data / 'log'}") from error
        if info is None:
            raise OSError("the embedded PostgreSQL stopped while it was starting")
        host, port = info
        return f"postgresql://postgres@/{{database}}?host={quote(host, safe='')}&port={port}"

    def stop(self) -> None:
        """Stop the server cleanly without waiting for clients: open transactions are rolled back. Raises `OSError`."""
        info = self._running()
        if info is None:
            return
        if sys.platform == "win32":
            self._stop_with_pg_ctl()
            return
        # Not through pg_ctl, whose user may no longer be able to enter the folder; the server runs inside it.
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while self._running() is not None:
            if time.monotonic() > deadline:
                raise TimeoutError("the embedded PostgreSQL did not stop")
            time.sleep(POLL_SECONDS)
        if Path(info[0]) != self.data:
            Path(info[0]).rmdir()

    def _stop_with_pg_ctl(self) -> None:
        try:
            arguments = ("-w", "-t", str(STOP_SECONDS), "-m", "fast", "-D", str(self.data), "stop")
            run_program("pg_ctl", *arguments, programs=self.programs)
        except subprocess.SubprocessError as error:
            raise OSError("the embedded PostgreSQL did not stop") from error

    def _started(self) -> tuple[str, int] | None:
        failure = None
        try:
            self._run_server()
        except subprocess.SubprocessError as error:
            failure = error
        # A process that was killed leaves its pg_ctl, whose server may have come first: then it is used.
        info = self._running()
        if info is None and failure is not None:
            raise failure
        return info

    def _run_server(self) -> None:
        # pg_ctl puts its arguments into a shell command between double quotes, and escapes nothing. So it gets the path
        # of the data by its environment, and that of the log relative to it.
        variables = {**os.environ, "PGDATA": str(self.data)}
        arguments = ("-w", "-t", str(START_SECONDS), "-l", "log", "start")
        run_program("pg_ctl", *arguments, programs=self.programs, cwd=str(self.data), env=variables)

    def _running(self) -> tuple[str, int] | None:
        """Return the socket folder (or host) and port of the running server, or None.

        Waits while the server starts or stops. After a crash postmaster.pid may name a dead process or an unrelated
        one. The file is then deleted, but only after the last process of the old server has exited: two servers must
        never share the data.
        """
        deadline = time.monotonic() + START_SECONDS
        file = self.data / "postmaster.pid"
        while time.monotonic() < deadline:
            try:
                lines = [line.strip() for line in file.read_text().splitlines()]
            except FileNotFoundError:
                return None
            if not lines or not _is_postgres(lines[0]):
                if _has_no_processes(self.data):
                    # The new server deletes neither if the process is a zombie, or the number was given to another.
                    for lock in (file, self._socket_folder() / _SOCKET_LOCK):
                        lock.unlink(missing_ok=True)
                    return None
            elif len(lines) > _STATUS and lines[_STATUS] == "ready":
                return lines[_SOCKETS] or lines[_HOST], int(lines[_PORT])
            time.sleep(POLL_SECONDS)
        raise TimeoutError("the embedded PostgreSQL is still starting or stopping")

    def _prepare(self) -> None:
        for leftover in self.data.parent.glob(f"{self.data.name}{_INCOMPLETE}*"):
            rmtree(leftover, ignore_errors=True)  # an initdb that still writes to it fails
        if not (self.data / "PG_VERSION").exists():
            self._create()
        grant_to_server(self.data)
        windows = sys.platform == "win32"
        sockets = self._socket_folder()
        text = self.extra + _SETTINGS.format(
            hosts="127.0.0.1" if windows else "",
            port=wheel().find_suitable_port() if windows else 5432,
            sockets="" if windows else '"' + str(sockets).replace("'", "''") + '"',
        )
        settings = self.data / "memos.conf"
        settings.write_text(text, encoding="utf-8")
        settings.chmod(0o644)  # root writes it and the server's user reads it; the folder's mode excludes others
        main = self.data / "postgresql.conf"
        if _INCLUDE not in main.read_text(encoding="utf-8"):
            with main.open("a", encoding="utf-8") as file:
                file.write(_INCLUDE)

    def _create(self) -> None:
        """Create the data folder under another name, so that what a crash makes incomplete is never used."""
        self.data.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.data.rmdir()
        new = Path(mkdtemp(prefix=f"{self.data.name}{_INCOMPLETE}", dir=self.data.parent))
        grant_to_server(new)
        # A cluster with locale C needs no system locale; the database in it has its own.
        arguments = ("--auth=trust", "--encoding=UTF8", "--locale=C", "-U", "postgres", "-D", str(new))
        run_program("initdb", *arguments, programs=self.programs)
        new.rename(self.data)
        sync_folder(self.data.parent)

    def _socket_folder(self) -> Path:
        """Return the data folder, or a temporary one if its path is too long or unusual; postmaster.pid records which.

        The name of the temporary folder is derived from the data folder's, so a leftover of a killed server is reused.
        """
        is_short = len(os.fsencode(self.data)) <= MAX_SOCKET_FOLDER_BYTES
        if sys.platform == "win32" or (is_short and _PLAIN_PATH.fullmatch(str(self.data))):  # Windows has no sockets
            return self.data
        folder = Path(gettempdir(), f"memos-{sha256(os.fsencode(self.data)).hexdigest()[:16]}")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), server_ids()[0]}:
            raise PermissionError(f"{folder} belongs to another user")
        folder.chmod(0o700)
        grant_to_server(folder)
        return folder


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, in their order."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_postgres(pid: str) -> bool:
    psutil = wheel().psutil
    try:
        process = psutil.Process(int(pid))
        return "postgres" in process.name() and process.status() != psutil.STATUS_ZOMBIE
    except (ValueError, psutil.Error):
        return False


def _has_no_processes(data: Path) -> bool:
    processes = wheel().psutil.process_iter(["name", "cwd"])
    return not any("postgres" in (one.info["name"] or "") and one.info["cwd"] == str(data) for one in processes)
