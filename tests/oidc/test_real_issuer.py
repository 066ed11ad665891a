"""A real issuer, a real server and the client of the MCP SDK, from a refused request to a call: `make test-issuer`."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

from tests.acceptance.servers import START_SECONDS, Server
from tests.oidc.signing import claims_of
from tests.transports.test_http import HEADERS, call

ISSUER = os.environ.get("MEMOS_TEST_ISSUER")
"""The program of the issuer, nanoidp."""

SCOPES = ["openid", "memos:read", "memos:write", "memos:tools"]
ROTATION_SECONDS = 30

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(ISSUER is None, reason="MEMOS_TEST_ISSUER is not set: run `make test-issuer`"),
]


class RealIssuer:
    """A process of the issuer with two clients, each of which may get tokens for itself and for the user ann."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        clients = [{"client_id": name, "client_secret": "s3cret"} for name in ("alpha", "beta")]
        oauth = {"issuer": self.url, "audience": "other", "scopes_supported": SCOPES, "clients": clients}
        settings = {"config_version": 1, "server": {"host": "127.0.0.1", "port": port}, "oauth": oauth}
        users = {"config_version": 1, "users": {"ann": {"password": "s3cret", "tenant": "team"}}}
        (folder / "settings.yaml").write_text(json.dumps(settings))
        (folder / "users.yaml").write_text(json.dumps(users))
        self._log = (folder / "log").open("wb")
        command = [str(ISSUER), "--config", str(folder)]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self._log, stderr=self._log)
        self._http = httpx.Client(base_url=self.url, trust_env=False, timeout=20)

    async def ready(self) -> None:
        """Wait until it answers."""
        with anyio.fail_after(START_SECONDS):
            while True:
                try:
                    self._http.get("/.well-known/openid-configuration").raise_for_status()
                except httpx.TransportError:
                    assert self.process.poll() is None
                    await anyio.sleep(0.1)
                else:
                    return

    def tokens(self, resource: str, scope: str, client: str = "alpha", grant: str = "client_credentials") -> Any:
        """Return the answer of its token endpoint."""
        form = {"grant_type": grant, "scope": scope, "resource": resource}
        user = {"username": "ann", "password": "s3cret"} if grant == "password" else {}
        return self._http.post("/token", data=form | user, auth=(client, "s3cret")).raise_for_status().json()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._http.post("/api/keys/rotate").raise_for_status()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self._http.close()
        self._log.close()


class Storage:
    """Where the SDK's client keeps its token."""

    tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        """Keep nothing: the client is known to the issuer."""


@pytest.fixture
def ports() -> tuple[int, int]:
    """Two free ports: the settings of issuer and server name each other's."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


@pytest.fixture
def issuer(tmp_path: Path, ports: tuple[int, int]) -> Iterator[RealIssuer]:
    issuer = RealIssuer(tmp_path, ports[0])
    yield issuer
    issuer.stop()


@pytest.fixture
def server(issuer: RealIssuer, ports: tuple[int, int], database_url: str, home: Path) -> Iterator[Server]:
    settings = {
        "MEMOS_DATABASE_URL": database_url,
        "MEMOS_PORT": str(ports[1]),
        "MEMOS_OIDC_ISSUER": issuer.url,
        "MEMOS_OIDC_AUDIENCE": f"http://127.0.0.1:{ports[1]}/mcp",
        "MEMOS_OIDC_NAMESPACE_CLAIM": "client_id",
    }
    server = Server(home, ("serve",), settings)
    yield server
    server.stop()


def post(url: str, token: str) -> httpx.Response:
    """Store a memory."""
    headers = {**HEADERS, "authorization": f"Bearer {token}"}
    return httpx.post(url, headers=headers, content=call(), trust_env=False, timeout=20)


async def test_a_client_of_the_sdk_signs_in_from_a_refused_request(issuer: RealIssuer, server: Server) -> None:
    url = f"{server.url}/mcp"
    await issuer.ready()
    for name in ("alpha", "beta"):
        auth = ClientCredentialsOAuthProvider(url, Storage(), name, "s3cret", issuer=issuer.url)
        async with (
            httpx2.AsyncClient(auth=auth, trust_env=False, timeout=30) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            stored = await client.call_tool("store_memory", {"content": f"the secret of {name}"})
            found = await client.call_tool("query_memory", {"query": "the secret"})
        assert not stored.is_error
        assert stored.structured_content is not None
        assert (stored.structured_content["namespace"], stored.structured_content["agent_id"]) == (name, name)
        assert found.structured_content is not None
        assert [memory["content"] for memory in found.structured_content["memories"]] == [f"the secret of {name}"]


async def test_the_tokens_of_a_real_issuer_are_checked_and_its_rotation_followed(
    issuer: RealIssuer, server: Server
) -> None:
    url = f"{server.url}/mcp"
    await issuer.ready()
    tokens = issuer.tokens(url, "openid memos:write", grant="password")
    assert claims_of(tokens["access_token"])["sub"] == "ann"
    assert post(url, tokens["access_token"]).json()["result"]["structuredContent"]["agent_id"] == "ann"
    assert post(url, tokens["id_token"]).status_code == 401
    assert post(url, issuer.tokens("http://127.0.0.1:1/mcp", "memos:write")["access_token"]).status_code == 401
    without_rights = post(url, issuer.tokens(url, "openid")["access_token"])
    assert (without_rights.status_code, "insufficient_scope" in without_rights.headers["www-authenticate"]) == (
        403,
        True,
    )
    reader = post(url, issuer.tokens(url, "memos:read")["access_token"]).json()
    assert "needs the right write" in reader["result"]["content"][0]["text"]

    issuer.rotate()
    renewed = issuer.tokens(url, "memos:write")["access_token"]
    with anyio.fail_after(ROTATION_SECONDS):
        while post(url, renewed).status_code != 200:  # noqa: ASYNC110 - the server is another process
            await anyio.sleep(0.2)
    issuer.stop()
    assert post(url, renewed).status_code == 200
    assert post(url, server.token_header["authorization"].removeprefix("Bearer ")).status_code == 200
