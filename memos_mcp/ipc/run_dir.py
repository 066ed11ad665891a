"""The private folder of an engine: its socket, and the locks that make it the only engine of its data folder."""

import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

from memos_mcp.ipc.file_lock import try_lock

ENGINE_LOCK: Final = "engine.lock"
"""Held by the engine for as long as it runs; the file holds its process id."""

START_LOCK: Final = "start.lock"
"""Held by the process that is starting an engine."""

SOCKET: Final = "engine.sock"
BACKLOG: Final = 1024

MAX_PATH_BYTES: Final = 100
"""A socket's path may have 104 bytes on macOS and 108 on Linux, the terminating NUL included."""


class RunDir:
    """The folder where clients connect to the engine of the data folder `home`."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.folder = os.path.join(home, "run")
        self.log = os.path.join(home, "logs", "engine.log")

    def prepare(self) -> None:
        """Create the folder, with access for its owner only; raise `OSError` when that fails."""
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        if self._mode() & 0o077:
            os.chmod(self.folder, 0o700)

    def try_lock(self, name: str) -> int | None:
        """Lock a file of the folder; return its file descriptor, or None when another process holds the lock."""
        lock = os.open(os.path.join(self.folder, name), os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(lock):
            os.close(lock)
            return None
        return lock

    def engine_pid(self) -> int | None:
        """Return the process that holds the engine's lock; None if there is none, or its id is not written yet."""
        with suppress(OSError, ValueError), open(os.path.join(self.folder, ENGINE_LOCK), "rb") as file:
            if not try_lock(file.fileno(), exclusive=False):
                return int(file.read())
        return None

    def connect(self) -> socket.socket | None:
        """Return a non-blocking connection to the engine; None when none listens, or its backlog is full.

        Raise `PermissionError` when the folder belongs to another user: the handshake may hold secrets.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(0)
        try:
            self._mode()
            with self._address() as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        return connection

    def listen(self) -> socket.socket:
        """Return the engine's socket; it replaces that of a killed engine. The engine's lock must be held."""
        self.remove_socket()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with self._address() as address:
                listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        listener.settimeout(0)
        return listener

    def remove_socket(self) -> None:
        """Remove the socket, so that no client connects any more. The engine's lock must be held."""
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.folder, SOCKET))

    def _mode(self) -> int:
        """Return the mode of the folder; raise `PermissionError` unless it belongs to this user."""
        found = os.lstat(self.folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is not a folder of this user", self.folder)
        return found.st_mode

    @contextmanager
    def _address(self) -> Iterator[str]:
        """Yield a path of the socket that is short enough. Where the full one is not, work from inside its folder."""
        path = os.path.join(self.folder, SOCKET)
        if len(os.fsencode(path)) <= MAX_PATH_BYTES:
            yield path
            return
        before = os.open(".", os.O_RDONLY)
        try:
            os.chdir(self.folder)
            yield SOCKET
        finally:
            os.fchdir(before)
            os.close(before)


def settings_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in an environment: names in upper case, without empty values."""
    found = {name.upper(): value for name, value in environment.items() if value}
    return {name: value for name, value in found.items() if name.startswith("MEMOS_")}


def home_of(environment: Mapping[str, str]) -> str:
    """Return the data folder that an environment names; by default, one in the platform's folder for user data.

    Raise `LookupError` when the path depends on a home or working directory that is not known.
    """
    home = os.path.expanduser(settings_in(environment).get("MEMOS_HOME") or _default_home(environment))
    if os.path.isabs(home):
        return home
    if home.startswith("~"):
        raise LookupError(f"{home}: the home directory (~) is not known. Set MEMOS_HOME to a full path.")
    try:
        return os.path.join(os.getcwd(), home)
    except FileNotFoundError:
        raise LookupError(f"{home}: the working directory no longer exists. Set MEMOS_HOME to a full path.") from None


def _default_home(environment: Mapping[str, str]) -> str:
    folder = environment.get("XDG_DATA_HOME", "")
    if not os.path.isabs(folder):
        folder = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/share"
    return os.path.join(folder, "memos-as")
