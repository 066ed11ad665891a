"""Headers of proxies count only from those that the operator names, and connections beyond the limit are refused."""

from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from mcp.server.transport_security import TransportSecurityMiddleware

from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings
from memos_mcp.transports.http_address import security
from memos_mcp.transports.http_head import CheckHead, TrustedProxies
from tests.transports.raw_http import serving
from tests.transports.test_http import HEADERS, call

pytestmark = pytest.mark.anyio

PROXY = "10.0.0.7"
DIRECT = {"client": "10.0.0.7", "scheme": "http", "host": "memos.example.com"}


async def seen(headers: dict[str, str], peer: str = PROXY, trusted: tuple[str, ...] = ("10.0.0.0/8",)) -> Any:
    """Return what the application sees of a request from this peer, or the status of its refusal."""
    found: dict[str, Any] = {}

    async def application(connection: Any, _receive: Any, send: Any) -> None:
        host = dict(connection["headers"])[b"host"].decode()
        found.update(client=connection["client"][0], scheme=connection["scheme"], host=host)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    hosts = security(Settings(host="0.0.0.0", allowed_hosts=("memos.example.com", "internal")))
    checked = CheckHead(application, TransportSecurityMiddleware(hosts), TrustedProxies(trusted))
    transport = httpx.ASGITransport(checked, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://memos.example.com") as client:
        status = (await client.get("/", headers=headers)).status_code
    return found if status == 204 else status


async def test_a_trusted_proxy_reports_client_scheme_and_host() -> None:
    headers = {"x-forwarded-for": "198.51.100.9", "x-forwarded-proto": "https", "host": "internal"}
    expected = {"client": "198.51.100.9", "scheme": "https", "host": "memos.example.com"}
    assert await seen(headers | {"x-forwarded-host": "memos.example.com"}) == expected


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "::1"])
async def test_forwarded_headers_of_another_peer_are_ignored(peer: str) -> None:
    headers = {"x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example.com"}
    assert await seen(headers, peer) == DIRECT | {"client": peer}
    assert await seen(headers, peer, ()) == DIRECT | {"client": peer}


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("1.2.3.4, 198.51.100.9", "198.51.100.9"),
        ("1.2.3.4, 198.51.100.9, 10.0.0.3", "198.51.100.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("1.2.3.4, unknown", PROXY),
        ("10.0.0.3", PROXY),
        ("", PROXY),
        ("' OR 1=1", PROXY),
    ],
)
async def test_the_client_is_the_last_address_that_is_no_trusted_proxy(forwarded: str, client: str) -> None:
    assert await seen({"x-forwarded-for": forwarded}) == DIRECT | {"client": client}


@pytest.mark.parametrize("scheme", ["javascript", "HTTPS,http", "", "ws"])
async def test_another_scheme_than_http_is_ignored(scheme: str) -> None:
    assert await seen({"x-forwarded-proto": scheme}) == DIRECT


async def test_forwarded_is_ignored_also_from_a_trusted_proxy() -> None:
    assert await seen({"forwarded": "for=1.2.3.4;host=evil.example.com;proto=https"}) == DIRECT


async def test_a_forwarded_host_must_be_allowed_as_well_as_the_host() -> None:
    assert await seen({"x-forwarded-host": "evil.example.com"}) == 421
    assert await seen({"host": "evil.example.com", "x-forwarded-host": "memos.example.com"}) == 421


async def test_an_ipv4_proxy_is_recognised_on_an_ipv6_socket() -> None:
    assert (await seen({"x-forwarded-proto": "https"}, "::ffff:10.0.0.7"))["scheme"] == "https"


@pytest.mark.parametrize("network", ["proxy.example.com", "10.0.0.0/33", "10.0.0.1/8", "*"])
def test_a_proxy_that_is_no_address_is_refused(network: str) -> None:
    with pytest.raises(Invalid, match=r"MEMOS_TRUSTED_PROXIES: .* Use addresses or networks such as"):
        TrustedProxies((network,))


async def test_uvicorn_itself_believes_no_forwarded_header() -> None:
    async with serving() as http, httpx.AsyncClient(base_url=http.url, trust_env=False) as client:
        answer = await client.get("/mcp/", headers={"x-forwarded-proto": "https", "x-forwarded-for": "1.2.3.4"})
    assert answer.headers["location"] == f"{http.url}/mcp"


async def test_a_connection_beyond_the_limit_is_answered_with_503() -> None:
    async with serving(http_connections=2) as http, AsyncExitStack() as stack:
        for _ in range(2):
            client = await stack.enter_async_context(httpx.AsyncClient(base_url=http.url, trust_env=False))
            await stack.enter_async_context(client.stream("GET", "/sse"))
        async with httpx.AsyncClient(base_url=http.url, trust_env=False) as client:
            answer = await client.post("/mcp", content=call(), headers=HEADERS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.text == "Too many connections. Repeat the request.\n"
    assert answer.headers["connection"] == "close"


async def test_an_idle_connection_gives_way_to_a_new_one() -> None:
    async with serving(http_connections=1) as http:
        for _ in range(3):
            async with (
                httpx.AsyncClient(base_url=http.url, trust_env=False) as idle,
                httpx.AsyncClient(base_url=http.url, trust_env=False) as client,
            ):
                assert (await idle.get("/healthz")).status_code == 200
                assert (await client.get("/healthz")).status_code == 200
