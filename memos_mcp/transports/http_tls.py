"""TLS for a server without a proxy: its certificate and key from files, which may be renewed while it serves."""

import logging
import ssl
import stat
import sys
from pathlib import Path
from shlex import quote
from typing import Final, TypeAlias

from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings

logger = logging.getLogger(__name__)

MINIMUM_VERSION: Final = ssl.TLSVersion.TLSv1_2

_Stamp: TypeAlias = tuple[tuple[int, int, int] | None, ...]


class ServerCertificate:
    """A certificate chain and its key, in PEM files.

    `context` is that of the listening socket: each handshake takes the newest pair that fits together.
    Raise `Invalid` for files that cannot be used.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain = chain
        self._key = key
        self._stamp = self._read_stamp()
        self.context = self._current = self._load()
        self.context.sni_callback = self._take_current  # it is called without a server name, too

    def reload_if_changed(self) -> None:
        """Take renewed files. While they do not fit together, as between two writes, the former pair stays."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._current = self._load()
        except Invalid as error:
            logger.warning("The renewed certificate is not used. %s", error)
        else:
            logger.info("New connections have the renewed certificate in %s", self._chain)

    def _take_current(self, handshake: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _of: ssl.SSLContext) -> None:
        handshake.context = self._current

    def _read_stamp(self) -> _Stamp:
        """Return what differs after the files are written or replaced."""
        return _stamp_of(self._chain), _stamp_of(self._key)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = MINIMUM_VERSION
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            _check_private(self._key)
            context.load_cert_chain(self._chain, self._key, password=lambda: b"")  # no terminal is asked for one
        except ssl.SSLError as error:
            raise Invalid(self._explain(error)) from None
        except OSError as error:
            files = f"{self._chain} and {self._key}"
            raise Invalid(f"TLS needs {files}: {error.strerror}. Correct MEMOS_TLS_CERT and MEMOS_TLS_KEY.") from None
        return context

    def _explain(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"The key in {self._key} (MEMOS_TLS_KEY) does not belong to the certificate in {self._chain}."
        return (
            f"TLS needs a certificate chain in {self._chain} (MEMOS_TLS_CERT) and its private key without a passphrase "
            f"in {self._key} (MEMOS_TLS_KEY), both as PEM."
        )


def server_certificate(settings: Settings) -> ServerCertificate | None:
    """Return the certificate to serve with, or None without TLS; raise `Invalid` when it cannot be used."""
    if settings.tls_cert is None and settings.tls_key is None:
        return None
    if settings.tls_cert is None or settings.tls_key is None:
        raise Invalid("TLS needs both MEMOS_TLS_CERT and MEMOS_TLS_KEY. Set the other one, or neither.")
    return ServerCertificate(settings.tls_cert, settings.tls_key)


def _check_private(key: Path) -> None:
    """Refuse a key that other users can read. A group may if root owns the file, as of secrets in containers."""
    if sys.platform == "win32":
        return
    found = key.stat()
    forbidden = stat.S_IRWXO if found.st_uid == 0 else stat.S_IRWXG | stat.S_IRWXO
    if found.st_mode & forbidden:
        mode = stat.S_IMODE(found.st_mode)
        raise Invalid(
            f"{key} (MEMOS_TLS_KEY) is open to other users (mode {mode:04o}). Run: chmod 600 {quote(str(key))}"
        )


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
