"""HTTPS without a proxy: certificates from files, renewed while the server runs."""

import os
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from shutil import which
from typing import Any

import anyio
import httpx
import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings
from memos_mcp.transports.http_tls import ServerCertificate, server_certificate
from tests.transports.raw_http import ROOT, serving
from tests.transports.test_http import HEADERS, call

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(which("openssl") is None, reason="needs openssl"),
]


def issue(folder: Path, name: str) -> None:
    """Write a certificate for 127.0.0.1 that signs itself, under this common name."""
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.new"), "-out", str(folder / "cert.new")]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-days", "1", *subject, *files], check=True, capture_output=True)
    (folder / "key.new").chmod(0o600)
    (folder / "cert.new").replace(folder / "cert.pem")
    (folder / "key.new").replace(folder / "key.pem")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Any]:
    issue(tmp_path, "first")
    return {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}


def name_on_certificate(url: str, trusted: Path) -> str:
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as connection:
        context = ssl.create_default_context(cafile=str(trusted))
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as secure:
            subject = secure.getpeercert()["subject"]  # type: ignore[index]  # it is verified
            return str(subject[0][0][1])


async def test_a_server_with_a_certificate_serves_https_only(
    files: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    context = ssl.create_default_context(cafile=str(files["tls_cert"]))
    async with serving(**files) as http, httpx.AsyncClient(verify=context, trust_env=False) as client:
        assert http.url.startswith("https://127.0.0.1:")
        answer = await client.post(f"{http.url}/mcp", content=call(), headers=HEADERS)
        assert answer.json()["result"]["structuredContent"]["created"] is True
        assert f"memos-as serves {http.url}/mcp" in capsys.readouterr().err
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(http.url.replace("https", "http") + "/healthz")


async def test_versions_of_tls_before_1_2_are_refused(files: dict[str, Any]) -> None:
    context = ssl.create_default_context(cafile=str(files["tls_cert"]))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(**files) as http, httpx.AsyncClient(verify=context, trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{http.url}/healthz")


async def test_a_renewed_certificate_is_used_without_a_restart(files: dict[str, Any]) -> None:
    chain, key = files["tls_cert"], files["tls_key"]
    async with serving(**files) as http:
        assert await anyio.to_thread.run_sync(name_on_certificate, http.url, chain) == "first"
        issue(chain.parent, "second")
        with anyio.fail_after(15):
            while True:
                try:
                    assert await anyio.to_thread.run_sync(name_on_certificate, http.url, chain) == "second"
                except ssl.SSLCertVerificationError:
                    continue  # still the first one
                break
        assert key.exists()


async def test_a_certificate_without_its_key_is_not_used(
    files: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = ServerCertificate(files["tls_cert"], files["tls_key"])
    former = certificate._current
    other = tmp_path / "other"
    other.mkdir()
    issue(other, "other")
    (other / "cert.pem").replace(files["tls_cert"])
    certificate.reload_if_changed()
    certificate.reload_if_changed()
    assert certificate._current is former
    (warning,) = [record.message for record in caplog.records]
    assert warning.startswith("The renewed certificate is not used. The key in ")
    assert warning.endswith(f"(MEMOS_TLS_KEY) does not belong to the certificate in {files['tls_cert']}.")
    (other / "key.pem").replace(files["tls_key"])
    certificate.reload_if_changed()
    assert certificate._current is not former


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("no cert", "cert.pem and .*key.pem: No such file or directory. Correct MEMOS_TLS_CERT and MEMOS_TLS_KEY"),
        ("no key", "cert.pem and .*key.pem: No such file or directory"),
        ("open key", r"key.pem \(MEMOS_TLS_KEY\) is open to other users \(mode 0644\). Run: chmod 600 /"),
        ("text", r"TLS needs a certificate chain in .*cert.pem \(MEMOS_TLS_CERT\) and its private key"),
        ("passphrase", r"private key without a passphrase in .*key.pem \(MEMOS_TLS_KEY\), both as PEM"),
    ],
)
def test_files_that_cannot_be_used_are_refused_in_one_line(files: dict[str, Any], broken: str, message: str) -> None:
    chain, key = files["tls_cert"], files["tls_key"]
    match broken:
        case "no cert":
            chain.unlink()
        case "no key":
            key.unlink()
        case "open key":
            key.chmod(0o644)
        case "text":
            chain.write_text("hello\n")
        case "passphrase":
            made = ["openssl", "ec", "-in", str(key), "-aes256", "-passout", "pass:x", "-out", str(key.with_name("k"))]
            subprocess.run(made, check=True, capture_output=True)
            key.write_bytes(key.with_name("k").read_bytes())
    with pytest.raises(Invalid, match=message) as refused:
        server_certificate(Settings(tls_cert=chain, tls_key=key))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
def test_one_file_without_the_other_is_refused(files: dict[str, Any], name: str) -> None:
    with pytest.raises(Invalid, match="needs both MEMOS_TLS_CERT and MEMOS_TLS_KEY"):
        server_certificate(Settings(**{name: files[name]}))


@pytest.mark.parametrize("tls", [False, True])
async def test_the_health_check_of_the_image_asks_with_an_allowed_host(files: dict[str, Any], tls: bool) -> None:
    found = re.search(r'CMD \["python", "-c", "(.*)"\]', (ROOT / "Dockerfile").read_text())
    assert found
    settings: dict[str, Any] = {"host": "0.0.0.0", "auth": "token", "allowed_hosts": ("memos.example.com:*",)}
    environment = {"MEMOS_ALLOWED_HOSTS": "memos.example.com:*,x"} | ({"MEMOS_TLS_CERT": "yes"} if tls else {})
    async with serving(**settings | (files if tls else {})) as http:
        program = found[1].replace(":8766", ":" + http.url.rpartition(":")[2])
        command = [sys.executable, "-c", program]
        asked = await anyio.run_process(command, env=os.environ | environment, check=False)
    assert (asked.returncode, asked.stderr) == (0, b"")
