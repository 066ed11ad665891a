"""Access tokens of an issuer over HTTP, and what the server says about itself to clients that have none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope
from memos_mcp.settings import Settings
from memos_mcp.transports.http import build_http
from memos_mcp.transports.http_auth import MAX_BEARER_BYTES, Authentication
from memos_mcp.transports.http_guard import Guard
from memos_mcp.transports.http_resource import issuer_tokens, protected_resource
from tests.oidc.local_issuer import LocalIssuer, local_issuer
from tests.oidc.signing import AUDIENCE, public_jwk, token
from tests.stand_in import SCOPE, stand_in
from tests.transports.test_http import call, http_client, post

pytestmark = pytest.mark.anyio

METADATA = "http://127.0.0.1:8766/.well-known/oauth-protected-resource/mcp"
CHALLENGE = f'scope="memos:read memos:tools memos:write", resource_metadata="{METADATA}"'
YEARS: dict[str, Any] = {"iat": 1_500_000_000, "exp": 4_000_000_000}


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as issuer:
        issuer.publish(public_jwk("first"))
        yield issuer


@pytest.fixture
def oidc(issuer: LocalIssuer, tmp_path: Path) -> dict[str, Any]:
    """The settings of a server that accepts the tokens of the issuer."""
    return {
        "home": tmp_path,
        "oidc_issuer": issuer.url,
        "oidc_audience": AUDIENCE,
        "oidc_namespace_claim": "tenant",
        "auth_token": "s3cret",
    }


def bearer(issuer: LocalIssuer, name: str = "first", **claims: Any) -> dict[str, str]:
    return {"authorization": f"Bearer {token(name, iss=issuer.url, **YEARS, **claims)}"}


async def test_a_request_has_the_scope_of_the_claims(issuer: LocalIssuer, oidc: dict[str, Any]) -> None:
    services = stand_in()
    services.memories.scope = Scope("elsewhere", "ann")
    async with http_client(services, **oidc) as client:
        answer = await post(client, call(), **bearer(issuer, tenant="elsewhere"))
        stored = answer.json()["result"]["structuredContent"]
        assert (stored["namespace"], stored["agent_id"]) == ("elsewhere", "ann")
        refused = await post(client, call(), **bearer(issuer, tenant="elsewhere", scope="memos:read"))
    assert "store_memory needs the right write" in refused.json()["result"]["content"][0]["text"]


async def test_the_servers_own_token_holds_beside_the_issuer(issuer: LocalIssuer, oidc: dict[str, Any]) -> None:
    async with http_client(**oidc) as client:
        assert (await post(client, call(), authorization="Bearer s3cret")).status_code == 200
    assert issuer.requests == []


async def test_a_request_without_a_token_is_answered_with_where_to_get_one(oidc: dict[str, Any]) -> None:
    async with http_client(**oidc) as client:
        answer = await post(client, call())
        found = await client.get(METADATA)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, f'Bearer realm="memos-as", {CHALLENGE}')
    assert found.json() == {
        "resource": "http://127.0.0.1:8766/mcp",
        "authorization_servers": [oidc["oidc_issuer"]],
        "scopes_supported": ["memos:read", "memos:tools", "memos:write"],
        "bearer_methods_supported": ["header"],
        "resource_name": "memOS.as",
    }


async def test_a_token_that_is_not_accepted_is_an_invalid_token(issuer: LocalIssuer, oidc: dict[str, Any]) -> None:
    refused = [bearer(issuer, aud="other"), bearer(issuer, tenant=None), bearer(issuer, "other")]
    refused.append(bearer(issuer, padding="x" * MAX_BEARER_BYTES))
    async with http_client(**oidc) as client:
        for headers in refused:
            answer = await post(client, call(), **headers)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            assert answer.headers["www-authenticate"].endswith(CHALLENGE)


@pytest.mark.parametrize("scope", [None, "", "openid profile", "read", "memos:reads", "MEMOS:READ", "memos:", 7])
async def test_a_token_without_rights_has_an_insufficient_scope(
    issuer: LocalIssuer, oidc: dict[str, Any], scope: object
) -> None:
    async with http_client(**oidc) as client:
        answer = await post(client, call(), **bearer(issuer, scope=scope))
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="memos-as", error="insufficient_scope", error_description="The access token has no rights here", '
        + CHALLENGE
    )


async def test_a_missing_right_is_named_as_the_scope_of_the_issuer(issuer: LocalIssuer, oidc: dict[str, Any]) -> None:
    settings = Settings(**oidc)
    guard = Guard(
        Response("admitted"),
        authentication=Authentication(*issuer_tokens(settings), resource=protected_resource(settings)),
        right="admin",
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://localhost") as client:
        refused = await client.get("/", headers=bearer(issuer))
        admitted = await client.get("/", headers=bearer(issuer, scope="memos:admin"))
    assert (refused.status_code, admitted.status_code) == (403, 200)
    assert refused.headers["www-authenticate"].endswith(
        f'error="insufficient_scope", error_description="The right admin is required", scope="memos:admin", '
        f'resource_metadata="{METADATA}"'
    )


async def test_an_issuer_that_cannot_be_asked_is_no_refusal(issuer: LocalIssuer, oidc: dict[str, Any]) -> None:
    issuer.answers.clear()
    async with http_client(**oidc) as client:
        answer = await post(client, call(), **bearer(issuer))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "127.0.0.1" not in answer.text
        assert (await post(client, call(), authorization="Bearer s3cret")).status_code == 200


@pytest.mark.parametrize(
    ("mapping", "claims", "scope"),
    [
        ({"oidc_namespace": "all"}, {}, Scope("all", "ann")),
        ({"oidc_namespace_claim": "https://example.com/team"}, {"https://example.com/team": "a"}, Scope("a", "ann")),
        ({"oidc_namespace_claim": "realm.team"}, {"realm": {"team": "b"}}, Scope("b", "ann")),
        ({"oidc_namespace_claim": "tenant", "oidc_agent_claim": "azp"}, {"azp": "robot"}, Scope("team", "robot")),
    ],
)
async def test_claims_are_mapped_by_the_settings(
    issuer: LocalIssuer, oidc: dict[str, Any], mapping: dict[str, str], claims: dict[str, Any], scope: Scope
) -> None:
    del oidc["oidc_namespace_claim"]
    services = stand_in()
    services.memories.scope = scope
    async with http_client(services, **oidc, **mapping) as client:
        answer = await post(client, call(), **bearer(issuer, **claims))
    assert answer.json()["result"]["structuredContent"]["namespace"] == scope.namespace


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("scp", {"scp": "memos:write"}),
        ("roles", {"roles": ["other", "memos:write"]}),
        ("resource_access.memos.roles", {"resource_access": {"memos": {"roles": ["memos:write"]}}}),
    ],
)
async def test_rights_are_read_from_scopes_and_from_lists(
    issuer: LocalIssuer, oidc: dict[str, Any], claim: str, claims: dict[str, Any]
) -> None:
    [known] = issuer_tokens(Settings(**oidc, oidc_rights_claim=claim))
    principal = await known.authenticate(bearer(issuer, scope="memos:admin", **claims)["authorization"][7:])
    assert principal is not None
    assert principal.scope.rights == {"write"}


KEYCLOAK = {
    "typ": "Bearer",
    "azp": "desktop",
    "aud": [AUDIENCE, "account"],
    "scope": "openid email",
    "resource_access": {"memos": {"roles": ["memos:read"]}, "account": {"roles": ["view-profile"]}},
    "memos_namespace": "team",
    "client_id": None,
}
ENTRA_ID = {
    "ver": "2.0",
    "azp": "6f1c",
    "tid": "team",
    "oid": "ann's object",
    "sub": "a pairwise subject",
    "scp": "User.Read memos:read",
    "scope": None,
    "client_id": None,
}
AUTH0 = {
    "aud": [AUDIENCE, "https://team.auth0.example.com/userinfo"],
    "azp": "6f1c",
    "scope": "openid profile",
    "permissions": ["memos:read", "other"],
    "https://example.com/namespace": "team",
    "client_id": None,
}


@pytest.mark.parametrize(
    ("claims", "mapping", "agent"),
    [
        (KEYCLOAK, {"namespace_claim": "memos_namespace", "rights_claim": "resource_access.memos.roles"}, "ann"),
        (ENTRA_ID, {"namespace_claim": "tid", "agent_claim": "oid", "rights_claim": "scp"}, "ann's object"),
        (AUTH0, {"namespace_claim": "https://example.com/namespace", "rights_claim": "permissions"}, "ann"),
    ],
    ids=["Keycloak", "Entra ID", "Auth0"],
)
async def test_tokens_in_the_form_of_common_issuers_are_mapped_as_documented(
    issuer: LocalIssuer, oidc: dict[str, Any], claims: dict[str, Any], mapping: dict[str, str], agent: str
) -> None:
    settings = Settings(**oidc | {f"oidc_{name}": claim for name, claim in mapping.items()})
    [known] = issuer_tokens(settings)
    issued = token(headers={"typ": "JWT"}, iss=issuer.url, **YEARS, **claims)
    principal = await known.authenticate(issued)
    assert principal is not None
    assert principal.scope == Scope("team", agent)
    assert principal.scope.rights == {"read"}


@pytest.mark.parametrize(
    ("url", "metadata"),
    [
        ("https://memos.example.com/mcp", "https://memos.example.com/.well-known/oauth-protected-resource/mcp"),
        ("https://example.com/memos/mcp", "https://example.com/.well-known/oauth-protected-resource/memos/mcp"),
        ("https://memos.example.com", "https://memos.example.com/.well-known/oauth-protected-resource"),
    ],
)
async def test_behind_a_proxy_the_metadata_has_the_public_url(oidc: dict[str, Any], url: str, metadata: str) -> None:
    async with http_client(**oidc, resource_url=url) as client:
        answer = await post(client, call())
        paths = {"/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"}
        for path in paths | {httpx.URL(metadata).path}:
            assert (await client.get(path)).json()["resource"] == url
    assert answer.headers["www-authenticate"].endswith(f'resource_metadata="{metadata}"')


async def test_pages_of_any_origin_may_read_the_metadata(oidc: dict[str, Any]) -> None:
    async with http_client(**oidc) as client:
        answer = await client.get(METADATA, headers={"origin": "https://inspector.example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_without_an_issuer_there_is_no_metadata() -> None:
    async with http_client(auth_token="s3cret") as client:
        assert (await client.get(METADATA)).status_code == 404


@pytest.mark.parametrize("address", [{"host": "0.0.0.0", "allowed_hosts": ("memos.example.com",)}, {"port": 0}])
def test_a_server_whose_url_is_not_known_is_refused(oidc: dict[str, Any], address: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match="needs MEMOS_RESOURCE_URL"):
        build_http(stand_in(), SCOPE, Settings(**oidc, **address))


def test_a_loopback_address_of_ipv6_is_a_url(oidc: dict[str, Any]) -> None:
    resource = protected_resource(Settings(**oidc, host="::1"))
    assert resource is not None
    assert resource.url == "http://[::1]:8766/mcp"


def test_the_libraries_of_tokens_are_imported_only_with_an_issuer() -> None:
    program = (
        "import json, sys; from memos_mcp.settings import Settings; "
        "from memos_mcp.transports.http_resource import issuer_tokens; known = []; "
        "issuer_tokens(Settings()); known.append('jwt' in sys.modules); "
        "issuer_tokens(Settings(oidc_issuer='https://x', oidc_audience='y', oidc_namespace='z')); "
        "known.append('jwt' in sys.modules); print(json.dumps(known))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60)
    assert json.loads(done.stdout) == [False, True]


def test_a_server_with_a_certificate_has_a_url_of_https(oidc: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings(**oidc, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    resource = protected_resource(settings)
    assert resource is not None
    assert resource.url == "https://127.0.0.1:8766/mcp"
