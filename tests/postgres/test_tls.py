"""The TLS options of the address, on a server whose certificate a CA of these tests has issued."""

import gc
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import chown, which
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import anyio
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.connection import REFUSED, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.tls_errors import BAD_FILES, NO_TLS, UNTRUSTED, WRONG_HOST
from tests.with_postgres import server, server_user

# The bundled server is built without TLS.
SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))

pytestmark = [
    pytest.mark.anyio,
    # The driver leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.skipif(not SERVERS or which("openssl") is None, reason="needs openssl and Debian's PostgreSQL"),
]

SECRET = "a-secret-password"
# One user needs a certificate of its own, the other none.
HBA = """\
local all all trust
hostssl all postgres 127.0.0.1/32 cert
hostssl all guest 127.0.0.1/32 trust
hostnossl all all 127.0.0.1/32 reject
"""
IN_USE = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


class Tls:
    """A server, the folder with the certificates, and addresses of it."""

    def __init__(self, folder: Path, socket_url: str, port: int) -> None:
        self.folder = folder
        self.socket_url = socket_url
        self.port = port

    def url(self, host: str = "localhost", user: str = "guest", **options: str) -> str:
        files = {name: str(self.folder / value) if name != "sslmode" else value for name, value in options.items()}
        return f"postgresql://{user}:{SECRET}@{host}:{self.port}/postgres?{urlencode(files)}"

    async def execute(self, *statements: str) -> None:
        connection = await connect(self.socket_url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close(timeout=5)


@pytest.fixture(scope="module")
def tls() -> Iterator[Tls]:
    with TemporaryDirectory(prefix="memos-tls-") as name, socket.socket() as free:
        folder = Path(name)
        make_ca(folder, "ca")
        make_ca(folder, "other")
        issue(folder, "server", "localhost")
        issue(folder, "client", "postgres")
        (folder / "hba").write_text(HBA)
        if (user := server_user()) is not None:
            for path in (folder, *folder.iterdir()):
                chown(path, user)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        files = {
            "ssl_cert_file": "server.crt",
            "ssl_key_file": "server.key",
            "ssl_ca_file": "ca.crt",
            "hba_file": "hba",
        }
        options = " ".join(f"-c {setting}={folder / file}" for setting, file in files.items())
        with server(SERVERS[-1].parent, f"-c listen_addresses=127.0.0.1 -c port={port} {options}") as url:
            yield Tls(folder, f"{url}&port={port}", port)
            gc.collect()  # while the warning is ignored


@pytest.fixture(autouse=True)
async def enabled(tls: Tls) -> None:
    """Enable TLS, which a test may disable, and create the user without a certificate."""
    await tls.execute(
        "ALTER SYSTEM SET ssl = on",
        "SELECT pg_reload_conf()",
        "DROP ROLE IF EXISTS guest",
        "CREATE ROLE guest LOGIN",
    )
    with anyio.fail_after(10):
        while await error_of(tls.url(sslmode="require")) is not None:
            await anyio.lowlevel.checkpoint()


async def error_of(url: str) -> str | None:
    """Return the error of a connection, or None if it is open and encrypted."""
    try:
        connection = await connect(url)
    except StoreUnavailable as error:
        return str(error)
    assert await connection.fetchval(IN_USE)
    await connection.close(timeout=5)
    return None


async def test_a_verified_connection_is_encrypted(tls: Tls) -> None:
    assert await error_of(tls.url(sslmode="verify-full", sslrootcert="ca.crt")) is None


async def test_a_pool_uses_the_options_too(tls: Tls) -> None:
    options = {"sslmode": "verify-full", "sslrootcert": "ca.crt", "sslcert": "client.crt", "sslkey": "client.key"}
    database = Database(tls.url(user="postgres", **options))
    async with database.everything.connection() as connection:
        assert await connection.fetchval(IN_USE)
    await database.close()


@pytest.mark.parametrize(
    ("host", "options", "error"),
    [
        ("127.0.0.1", {"sslmode": "verify-full", "sslrootcert": "ca.crt"}, WRONG_HOST),
        ("127.0.0.1", {"sslmode": "verify-ca", "sslrootcert": "ca.crt"}, None),
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "other.crt"}, UNTRUSTED),
        ("localhost", {"sslmode": "verify-ca", "sslrootcert": "other.crt"}, UNTRUSTED),
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "no-such-file"}, BAD_FILES),
        ("localhost", {"sslmode": "verify-full", "sslrootcert": "hba"}, BAD_FILES),
        ("localhost", {"sslmode": "require", "sslcert": "client.crt", "sslkey": "server.key"}, BAD_FILES),
        ("localhost", {"sslmode": "require", "sslcert": "no-such-file", "sslkey": "client.key"}, BAD_FILES),
    ],
)
async def test_an_error_names_the_option_to_correct_and_neither_host_nor_password(
    tls: Tls, host: str, options: dict[str, str], error: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert await error_of(tls.url(host, **options)) == error
    assert SECRET not in caplog.text


async def test_a_missing_default_ca_is_reported(tls: Tls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert await error_of(tls.url(sslmode="verify-full")) == BAD_FILES


async def test_a_user_without_the_certificate_it_needs_is_rejected(tls: Tls) -> None:
    assert await error_of(tls.url(user="postgres", sslmode="require")) == REFUSED


async def test_a_server_without_tls_is_reported(tls: Tls) -> None:
    await tls.execute("ALTER SYSTEM SET ssl = off", "SELECT pg_reload_conf()")
    with anyio.fail_after(10):
        while (error := await error_of(tls.url(sslmode="require"))) is None:
            await anyio.lowlevel.checkpoint()
    assert error == NO_TLS


def make_ca(folder: Path, name: str) -> None:
    _openssl(
        folder, "req", "-x509", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}", *DAYS
    )


def issue(folder: Path, name: str, subject: str) -> None:
    """Have the CA `ca` issue a certificate for a host or user."""
    _openssl(folder, "req", "-new", *KEY, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={subject}")
    (folder / "names").write_text(f"subjectAltName=DNS:{subject}")
    by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
    _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.crt", *by, *DAYS)


KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
DAYS = ["-days", "2"]


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
