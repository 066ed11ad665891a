"""Requests over HTTP are authenticated, each in the scope of its own token."""

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.responses import Response

from memos_mcp.domain.access_token import Principal
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.mcp_server.calling_client import PRINCIPAL
from memos_mcp.settings import Settings
from memos_mcp.transports.http import build_http
from memos_mcp.transports.http_auth import MAX_BEARER_BYTES, Authentication
from memos_mcp.transports.http_guard import Guard
from tests.stand_in import SCOPE, stand_in
from tests.transports.test_http import HEADERS, LISTEN_ANYWHERE, PATHS, call, http_client, post

pytestmark = pytest.mark.anyio

BEARER = {"authorization": "Bearer s3cret"}
TOKEN: dict[str, Any] = {"auth_token": "s3cret"}


def send(authorization: bytes | None, path: str = "/mcp") -> dict[str, Any]:
    """The arguments of a request with this header, whatever its bytes."""
    headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    if authorization is not None:
        headers.append((b"authorization", authorization))
    return {"method": "GET" if path == "/sse" else "POST", "url": path, "content": call(), "headers": headers}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "memos.example.com", ""])
def test_another_address_is_refused_without_the_allowed_hosts(host: str) -> None:
    with pytest.raises(Invalid, match="set MEMOS_ALLOWED_HOSTS"):
        build_http(stand_in(), SCOPE, Settings(host=host, **TOKEN))


def test_another_address_is_never_open_to_anyone() -> None:
    settings = Settings(host="0.0.0.0", auth="none", allowed_hosts=("memos.example.com",))
    with pytest.raises(Invalid, match="Unset MEMOS_AUTH, or listen on"):
        build_http(stand_in(), SCOPE, settings)


def test_a_token_that_would_protect_nothing_is_refused() -> None:
    with pytest.raises(Invalid, match="lets clients in without MEMOS_AUTH_TOKEN"):
        build_http(stand_in(), SCOPE, Settings(auth="none", **TOKEN))


async def test_another_address_makes_no_token_of_its_own(tmp_path: Path) -> None:
    settings = LISTEN_ANYWHERE | {"auth_token": None, "home": tmp_path}
    async with http_client(**settings) as client:
        answer = await post(client, call(), host="memos.example.com", **BEARER)
    assert answer.status_code == 401
    assert not await anyio.Path(tmp_path / "http-token").exists()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("authorization", [None, b"", b"s3cret", b"Basic s3cret", b"Digest a=b", b"Bearers s3cret"])
async def test_a_request_without_a_bearer_token_is_challenged_without_an_error(
    path: str, authorization: bytes | None
) -> None:
    async with http_client(**TOKEN) as client:
        answer = await client.request(**send(authorization, path))
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="memos-as"')


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        *(b"Bearer", b"Bearer ", b"Bearer s3cre", b"Bearer s3crets", b"Bearer S3CRET", b"Bearer s3cret,s3cret"),
        *("Bearer grün".encode(), "Bearer grün".encode("latin-1"), b"Bearer \xff\x00", b"Bearer s3cret\ts3cret"),
        b"Bearer memos_00000000_" + b"A" * 43 + b"=",
        b"Bearer " + b"s3cret" * (MAX_BEARER_BYTES // 5),
    ],
    ids=lambda authorization: repr(authorization[:24]),
)
async def test_a_wrong_token_is_an_invalid_token(path: str, authorization: bytes) -> None:
    async with http_client(**TOKEN) as client:
        answer = await client.request(**send(authorization, path))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="memos-as", error="invalid_token", ')
    assert "s3c" not in answer.headers["www-authenticate"] + answer.text


async def test_several_authorization_headers_are_an_invalid_request() -> None:
    request = send(b"Bearer s3cret")
    request["headers"].append((b"authorization", b"Bearer s3cret"))
    async with http_client(**TOKEN) as client:
        answer = await client.request(**request)
    assert answer.status_code == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("authorization", [b"Bearer s3cret", b"bearer s3cret", b"BEARER   s3cret "])
async def test_the_servers_own_token_is_admitted(authorization: bytes) -> None:
    async with http_client(**TOKEN) as client:
        assert (await client.request(**send(authorization))).status_code == 200


@pytest.mark.parametrize("host", ["memos.example.com", "memos.example.com:8443"])
async def test_the_token_is_admitted_at_every_allowed_host(host: str) -> None:
    async with http_client(**LISTEN_ANYWHERE) as client:
        assert (await post(client, call(), host=host, **BEARER)).status_code == 200


@pytest.mark.parametrize("headers", [{"host": "127.0.0.1:8766"}, {"host": "memos.example.com", "origin": "http://x"}])
async def test_the_token_does_not_replace_host_and_origin(headers: dict[str, str]) -> None:
    async with http_client(**LISTEN_ANYWHERE) as client:
        assert (await post(client, call(), **BEARER, **headers)).status_code in {403, 421}


async def test_health_needs_no_token() -> None:
    async with http_client(**LISTEN_ANYWHERE) as client:
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path, headers={"host": "memos.example.com"})).status_code == 200


class Tokens:
    """An authenticator as another one may be: each token is the name of a right."""

    async def authenticate(self, bearer: str) -> Principal | None:
        rights: dict[str, frozenset[Right]] = {"admin": frozenset({"admin"}), "read": frozenset({"read"})}
        if bearer not in rights:
            return None
        return Principal(bearer, bearer, Scope("team", "ann", rights=rights[bearer]))


@pytest.mark.parametrize(("token", "status"), [("admin", 200), ("read", 403), ("other", 401)])
async def test_a_part_of_the_server_may_need_a_right(token: str, status: int) -> None:
    async def part(connection: Any, receive: Any, send: Any) -> None:
        await Response(connection[PRINCIPAL].name)(connection, receive, send)

    guard = Guard(part, authentication=Authentication(Tokens()), right="admin")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://localhost") as client:
        answer = await client.get("/", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == status
    if status == 200:
        assert answer.text == "admin"
    if status == 403:
        assert answer.headers["www-authenticate"].endswith(
            'error="insufficient_scope", error_description="The right admin is required", scope="admin"'
        )
