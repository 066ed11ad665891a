"""How the keys of an issuer are found and fetched."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from memos_mcp.oidc import issuer_metadata
from memos_mcp.oidc.issuer_metadata import MAX_BYTES, FetchError, IssuerMetadata
from tests.oidc.local_issuer import DISCOVERY, LocalIssuer, local_issuer
from tests.oidc.signing import public_jwk

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as issuer:
        issuer.publish(public_jwk("first"))
        yield issuer


async def test_keys_are_found_by_openid_connect_discovery(issuer: LocalIssuer) -> None:
    assert await IssuerMetadata(issuer.url).fetch_keys() == [public_jwk("first")]
    assert issuer.requests == [DISCOVERY, "/keys"]


async def test_keys_are_found_by_the_metadata_of_oauth(issuer: LocalIssuer) -> None:
    del issuer.answers[DISCOVERY]
    name = f"{issuer.url}/realms/team"
    metadata = {"issuer": name, "jwks_uri": f"{issuer.url}/keys"}
    issuer.answers["/.well-known/oauth-authorization-server/realms/team"] = metadata
    assert await IssuerMetadata(name).fetch_keys() == [public_jwk("first")]


async def test_an_issuer_may_end_in_a_slash(issuer: LocalIssuer) -> None:
    issuer.answers[DISCOVERY] = {"issuer": f"{issuer.url}/", "jwks_uri": f"{issuer.url}/keys"}
    assert await IssuerMetadata(f"{issuer.url}/").fetch_keys() == [public_jwk("first")]


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        (DISCOVERY, 404, "no metadata"),
        (DISCOVERY, 500, "status 500"),
        (DISCOVERY, 302, "status 302"),
        (DISCOVERY, b"<html>", "not JSON"),
        (DISCOVERY, b"[" * 200_000, "not JSON"),
        (DISCOVERY, b"[]", "no object"),
        (DISCOVERY, b"{" + b" " * MAX_BYTES + b"}", "more than"),
        (DISCOVERY, {}, "another issuer"),
        (DISCOVERY, {"issuer": "https://evil.example.com"}, "another issuer"),
        ("/keys", 404, "no list of keys"),
        ("/keys", 302, "status 302"),
        ("/keys", {}, "no list of keys"),
        ("/keys", {"keys": {}}, "no list of keys"),
        ("/keys", b"[]", "no object"),
    ],
)
async def test_an_answer_that_is_not_what_it_should_be_is_refused(
    issuer: LocalIssuer, path: str, answer: Any, reason: str
) -> None:
    issuer.answers[path] = answer
    with pytest.raises(FetchError, match=reason):
        await IssuerMetadata(issuer.url).fetch_keys()


@pytest.mark.parametrize(
    "address",
    [None, 7, "http://127.0.0.1:1/keys", "file:///etc/passwd", "/keys", "HTTPS:keys", "http://{}.evil.example"],
)
async def test_keys_without_tls_are_of_the_issuers_own_address_only(issuer: LocalIssuer, address: Any) -> None:
    named = address.replace("{}", issuer.url.removeprefix("http://")) if isinstance(address, str) else address
    issuer.answers[DISCOVERY] = {"issuer": issuer.url, "jwks_uri": named}
    with pytest.raises(FetchError, match="names no address of keys, or one without TLS"):
        await IssuerMetadata(issuer.url).fetch_keys()


async def test_an_issuer_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_metadata, "FETCH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(FetchError):
        await IssuerMetadata(f"http://127.0.0.1:{silent.getsockname()[1]}").fetch_keys()


async def test_an_issuer_that_nobody_serves_is_an_error_without_its_address() -> None:
    with pytest.raises(FetchError) as failure:
        await IssuerMetadata("http://127.0.0.1:1").fetch_keys()
    assert str(failure.value) == "ConnectError"


async def test_no_proxy_is_between_the_server_and_an_issuer_on_its_machine(
    issuer: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert await IssuerMetadata(issuer.url).fetch_keys() == [public_jwk("first")]
