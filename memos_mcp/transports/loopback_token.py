"""The token that a server on loopback makes for itself, in a file that only its owner can read."""

import os
import re
import stat
import sys
from pathlib import Path
from shlex import quote
from tempfile import mkstemp
from typing import Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.services.access_tokens import new_token
from memos_mcp.settings import Settings
from memos_mcp.transports.http_url import is_loopback

FILE_NAME: Final = "http-token"
MAX_BYTES: Final = 4_096

_TOKEN: Final = re.compile(rb"[!-~]{32,%d}" % MAX_BYTES)
"""What an operator may have put there instead: as long as what cannot be guessed, and sendable in a header."""


def makes_token(settings: Settings) -> bool:
    """Whether a server with these settings makes a token of its own."""
    return settings.auth == "token" and settings.auth_token is None and is_loopback(settings.host)


def loopback_token(home: Path) -> str:
    """Return the token of a data folder, which is made at the first start and kept.

    Raise `Invalid` for a file that others can read or that has no token, and where none can be written.
    """
    path = home / FILE_NAME
    try:
        if (kept := _read(path)) is None:
            _create(path)
            kept = _read(path)
    except OSError as error:
        raise Invalid(f"{path} cannot be used: {error.strerror}. Correct that, or set MEMOS_AUTH_TOKEN.") from None
    if kept is None or not _TOKEN.fullmatch(kept):
        raise Invalid(f"{path} has no token. Remove it: the next start makes a new one.")
    return kept.decode("ascii")


def header_of_file(home: Path) -> str:
    """Return the header that a shell makes of the file, so that the token itself is in no log and no history."""
    return f'"Authorization: Bearer $(cat {quote(str(home / FILE_NAME))})"'


def _read(path: Path) -> bytes | None:
    """Return the content without the line end, or None if there is no file."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    try:
        _check_owner(path, os.fstat(handle))
        return os.read(handle, MAX_BYTES + 2).strip()
    finally:
        os.close(handle)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"{path} is no file. Remove it: the next start makes one.")
    if sys.platform == "win32":
        return
    if found.st_uid != os.geteuid():
        raise Invalid(f"{path} belongs to another user. Remove it: the next start makes a new one.")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(found.st_mode)
        raise Invalid(
            f"{path} was open to other users (mode {mode:04o}), who may know the token. "
            "Remove it: the next start makes a new one."
        )


def _create(path: Path) -> None:
    """Write a new token whole or not at all. The data folder is locked: no other server writes here."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = mkstemp(prefix=f".{FILE_NAME}.", dir=path.parent)  # of mode 0600
    partial = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{new_token()[0]}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
