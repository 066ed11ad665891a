"""Which tokens of an issuer are accepted, and which are not."""

import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.oidc.authenticator import REMEMBERED_SECONDS, IssuerAuthenticator
from memos_mcp.oidc.claims import SKEW_SECONDS, ClaimRules
from memos_mcp.oidc.issuer_keys import FRESH_SECONDS, UNKNOWN_SECONDS, IssuerKeys
from memos_mcp.oidc.issuer_metadata import FetchError
from tests.oidc.signing import AUDIENCE, CLAIMS, ISSUER, NOW, private_key, public_jwk, segment, sign, sign_parts, token

pytestmark = pytest.mark.anyio

RULES = ClaimRules(ISSUER, AUDIENCE, None, "tenant", "sub", "scope")
ALGORITHMS = ("RS256", "PS256", "RS512", "ES256", "ES384", "ES512", "EdDSA")
HEADER = '{"alg":"ES256","typ":"at+jwt","kid":"first"}'


class Issuer:
    """An issuer with some keys, and the server that accepts its tokens, on one clock that the test sets."""

    def __init__(self, *keys: dict[str, Any], algorithms: tuple[str, ...] = ALGORITHMS) -> None:
        self.published: list[Any] = [*keys] or [public_jwk("first")]
        self.fetches = 0
        self.away = False
        self.now = float(NOW)
        keys_of_issuer = IssuerKeys(self._fetch, lambda: self.now)
        self.server = IssuerAuthenticator(RULES, frozenset(algorithms), keys_of_issuer, lambda: self.now)

    async def _fetch(self) -> list[Any]:
        self.fetches += 1
        if self.away:
            raise FetchError("it is away")
        return self.published

    async def accepts(self, bearer: str) -> bool:
        return await self.server.authenticate(bearer) is not None


async def test_a_token_makes_a_principal_of_its_claims() -> None:
    principal = await Issuer().server.authenticate(token())
    assert principal is not None
    assert (principal.name, principal.scope) == ("oidc:ann", Scope("team", "ann"))
    assert principal.scope.rights == {"read", "write"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_is_verified_with_a_key_that_names_it_or_does_not(algorithm: str) -> None:
    for jwk in (public_jwk("first", algorithm), public_jwk("first", algorithm, alg=algorithm)):
        issuer = Issuer(jwk)
        assert await issuer.accepts(token(algorithm=algorithm))
        assert not await issuer.accepts(token("other", algorithm, {"kid": "first"}))


@pytest.mark.parametrize("kind", ["at+jwt", "AT+JWT", "application/at+jwt", "JWT", None])
async def test_the_types_of_access_tokens_are_accepted(kind: str | None) -> None:
    assert await Issuer().accepts(token(headers={"typ": kind}))


def unsigned(algorithm: str, signature: str = "AA") -> str:
    """A token without a valid signature."""
    header = segment(json.dumps({"alg": algorithm, "kid": "first", "typ": "at+jwt"}).encode())
    return f"{header}.{segment(json.dumps(dict(CLAIMS)).encode())}.{signature}"


def confused(algorithm: str = "HS256", encoding: Encoding = Encoding.DER) -> str:
    """A token whose HMAC has the issuer's public key as its secret."""
    public = private_key("first").public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    header = segment(json.dumps({"alg": algorithm, "kid": "first", "typ": "at+jwt"}).encode())
    content = f"{header}.{segment(json.dumps(dict(CLAIMS)).encode())}"
    return f"{content}.{segment(hmac.digest(public, content.encode(), 'sha256'))}"


def changed(**claims: Any) -> str:
    """A token of the issuer whose claims were changed after it was signed."""
    header, _, signature = token().split(".")
    return f"{header}.{segment(json.dumps({**CLAIMS, **claims}).encode())}.{signature}"


ATTACKS: dict[str, Callable[[], str]] = {
    "no algorithm": lambda: unsigned("none"),
    "no algorithm, in other letters": lambda: unsigned("nOnE"),
    "no algorithm and no signature": lambda: unsigned("none", ""),
    "an empty signature": lambda: unsigned("ES256", ""),
    "a signature of zeros": lambda: unsigned("ES256", segment(bytes(64))),
    "a truncated signature": lambda: token()[:-8],
    "the public key as a secret": confused,
    "the public key as a secret, in PEM": lambda: confused(encoding=Encoding.PEM),
    "a secret, but the name of a key's algorithm": lambda: confused("ES256"),
    "another algorithm of the list": lambda: token(headers={"alg": "RS256"}),
    "an unknown algorithm": lambda: token(headers={"alg": "ES256K"}),
    "an algorithm that is a list": lambda: token(headers={"alg": ["ES256"]}),
    "no name of an algorithm": lambda: token(headers={"alg": None}),
    "changed claims": lambda: changed(sub="bob"),
    "the key of another": lambda: token("other", headers={"kid": "first"}),
    "an unknown key": lambda: token("other"),
    "no key id": lambda: token(headers={"kid": None}),
    "a key id that is a number": lambda: token(headers={"kid": 1}),
    "a key id that is a path": lambda: token(headers={"kid": "../../../../dev/null"}),
    "a key id that is a query": lambda: token(headers={"kid": "first' OR '1'='1"}),
    "a key that the token brings": lambda: token("other", headers={"jwk": public_jwk("other")}),
    "a key that the token brings, by a known name": lambda: token(
        "other", headers={"kid": "first", "jwk": public_jwk("other", kid="first")}
    ),
    "keys at another address": lambda: token("other", headers={"jku": "https://evil.example.com/jwks"}),
    "a certificate at another address": lambda: token("other", headers={"x5u": "https://evil.example.com/cert"}),
    "a certificate that the token brings": lambda: token("other", headers={"kid": "first", "x5c": ["MIIB"]}),
    "a critical extension": lambda: token(headers={"crit": ["exp"], "exp": NOW}),
    "an empty list of critical extensions": lambda: token(headers={"crit": []}),
    "a payload that is not encoded": lambda: token(headers={"b64": False, "crit": ["b64"]}),
    "a type of logout tokens": lambda: token(headers={"typ": "logout+jwt"}),
    "a type of proofs": lambda: token(headers={"typ": "dpop+jwt"}),
    "a type that is a list": lambda: token(headers={"typ": ["at+jwt"]}),
    "an algorithm twice in the header": lambda: sign_parts(
        '{"alg":"none",' + HEADER[1:], json.dumps(dict(CLAIMS)), private_key("first"), "ES256"
    ),
    "a header that is a list": lambda: sign_parts("[]", "{}", private_key("first"), "ES256"),
    "a header that is deep": lambda: sign_parts('{"a":' * 1_000, "{}", private_key("first"), "ES256"),
    "a header that is not UTF-8": lambda: sign_parts(
        HEADER.encode("utf-16"), json.dumps(dict(CLAIMS)), private_key("first"), "ES256"
    ),
    "a header of one letter": lambda: "e." + token().split(".", 1)[1],
    "a claim twice": lambda: sign('{"sub":"bob",' + json.dumps(dict(CLAIMS))[1:]),
    "a claim twice, in an object": lambda: sign(json.dumps(dict(CLAIMS))[:-1] + ',"realm":{"a":1,"a":2}}'),
    "claims that are a list": lambda: sign("[]"),
    "claims that are no JSON": lambda: sign("exp=never"),
    "claims that are deep": lambda: sign('{"a":' * 1_500),
    "two signatures": lambda: token() + "." + token().rsplit(".", 1)[1],
    "two signatures, as JSON": lambda: json.dumps(
        {
            "payload": token().split(".")[1],
            "signatures": [{"protected": p, "signature": s} for p, _, s in [token().split(".")]],
        }
    ),
    "an encrypted token": lambda: ".".join([segment(b'{"alg":"dir","enc":"A256GCM"}'), "", "AA", "AA", "AA"]),
    "two tokens": lambda: token() + "," + token(),
    "a space inside": lambda: token().replace(".", ". ", 1),
    "a line end": lambda: token() + "\n",
    "padding": lambda: token() + "==",
    "other letters": lambda: "\udcff" + token(),
    "another issuer": lambda: token(iss="https://login.example.com/realms/other"),
    "another issuer, by a slash": lambda: token(iss=ISSUER + "/"),
    "issuers in a list": lambda: token(iss=[ISSUER]),
    "no issuer": lambda: token(iss=None),
    "another audience": lambda: token(aud="https://other.example.com/mcp"),
    "an audience that begins alike": lambda: token(aud=AUDIENCE + "/admin"),
    "an audience that holds it": lambda: token(aud=f"{AUDIENCE} other"),
    "other audiences": lambda: token(aud=["account", "other"]),
    "an audience that is an object": lambda: token(aud={AUDIENCE: True}),
    "no audience": lambda: token(aud=None),
    "no audience, but an authorized party": lambda: token(aud=None, azp=AUDIENCE),
    "expired": lambda: token(exp=NOW - SKEW_SECONDS),
    "never expiring": lambda: token(exp=None),
    "expiring at no number": lambda: token(exp="2099-01-01"),
    "not valid before true": lambda: token(nbf=True),
    "expiring at infinity": lambda: sign(json.dumps({**CLAIMS, "exp": float("inf")})),
    "expiring at 1e999": lambda: sign(json.dumps(dict(CLAIMS)).replace(str(NOW + 300), "1e999")),
    "expiring at a long number": lambda: sign(json.dumps(dict(CLAIMS)).replace(str(NOW + 300), "9" * 4_000)),
    "not valid before": lambda: token(nbf=NOW + SKEW_SECONDS + 1),
    "issued in the future": lambda: token(iat=NOW + SKEW_SECONDS + 1),
    "an ID token with a nonce": lambda: token(nonce="n", headers={"typ": "JWT"}),
    "an ID token with the hash of its access token": lambda: token(at_hash="h", headers={"typ": "JWT"}),
    "an ID token by its use": lambda: token(token_use="id", headers={"typ": "JWT"}),
    "an ID token by its type": lambda: token(typ="ID", headers={"typ": "JWT"}),
    "a refresh token": lambda: token(typ="Refresh", headers={"typ": "JWT"}),
    "a token that is bound to a key": lambda: token(cnf={"jkt": "x"}),
    "no subject": lambda: token(sub=None),
    "a subject that is a number": lambda: token(sub=7),
    "a subject that is not printable": lambda: token(sub="ann\x00"),
    "no namespace": lambda: token(tenant=None),
    "an empty namespace": lambda: token(tenant=""),
    "a long namespace": lambda: token(tenant="x" * 256),
    "namespaces in a list": lambda: token(tenant=["team"]),
}


@pytest.mark.parametrize("attack", ATTACKS)
async def test_a_token_that_was_not_issued_for_this_server_is_refused(attack: str) -> None:
    issuer = Issuer()
    assert await issuer.accepts(token())
    assert not await issuer.accepts(ATTACKS[attack]())


async def test_an_algorithm_that_is_not_in_the_list_is_refused() -> None:
    assert not await Issuer(algorithms=("RS256",)).accepts(token())


async def test_clocks_may_be_a_minute_apart() -> None:
    issuer = Issuer()
    assert await issuer.accepts(token(exp=NOW - SKEW_SECONDS + 1))
    assert await issuer.accepts(token(nbf=NOW + SKEW_SECONDS, iat=NOW + SKEW_SECONDS))


async def test_a_token_is_refused_when_it_has_expired_though_it_is_remembered() -> None:
    issuer = Issuer()
    expiring = token(exp=NOW + 5 - SKEW_SECONDS)
    assert await issuer.accepts(expiring)
    issuer.now += 5
    assert not await issuer.accepts(expiring)


async def test_a_token_is_refused_once_its_key_is_withdrawn_though_it_is_remembered() -> None:
    issuer = Issuer(public_jwk("first"), public_jwk("second"))
    replayed = token(exp=NOW + 10_000)
    assert await issuer.accepts(replayed)
    issuer.published = [public_jwk("second")]
    issuer.now += FRESH_SECONDS + 1
    assert await issuer.accepts(token("second", exp=NOW + 10_000))
    assert not await issuer.accepts(replayed)


async def test_a_remembered_token_does_not_keep_its_keys_from_being_renewed() -> None:
    issuer = Issuer()
    used = token(exp=NOW + 10_000)
    assert await issuer.accepts(used)
    issuer.published = [public_jwk("second")]
    for _ in range(int(FRESH_SECONDS // REMEMBERED_SECONDS) + 2):
        issuer.now += REMEMBERED_SECONDS
        await issuer.accepts(used)
    assert not await issuer.accepts(used)


async def test_a_rotated_key_is_found_by_the_first_token_that_it_signs() -> None:
    issuer = Issuer()
    assert await issuer.accepts(token())
    issuer.published = [public_jwk("second")]
    issuer.now += UNKNOWN_SECONDS
    assert await issuer.accepts(token("second"))
    assert not await issuer.accepts(token())


async def test_an_issuer_that_is_away_refuses_no_token_and_accepts_none() -> None:
    issuer = Issuer()
    issuer.away = True
    for _ in range(3):
        with pytest.raises(Unavailable) as failure:
            await issuer.accepts(token())
        assert "example.com" not in str(failure.value)
    assert issuer.fetches == 1
    issuer.away = False
    issuer.now += UNKNOWN_SECONDS
    assert await issuer.accepts(token())


async def test_a_text_that_is_no_token_asks_the_issuer_nothing() -> None:
    issuer = Issuer()
    for text in ("", "s3cret", "memos_00000000_" + "A" * 43, "a.b", unsigned("none"), token(headers={"kid": None})):
        assert not await issuer.accepts(text)
    assert issuer.fetches == 0


async def test_tokens_of_one_subject_share_a_principal_and_no_other_has_it() -> None:
    server = Issuer().server

    async def principal_id(**claims: Any) -> str:
        principal = await server.authenticate(token(**claims))
        assert principal is not None
        return principal.id

    assert await principal_id() == await principal_id(jti="renewed", exp=NOW + 900, scope="memos:read")
    others: list[dict[str, Any]] = [
        {"sub": "bob"},
        {"client_id": "other"},
        {"tenant": "other"},
        {"client_id": None, "azp": "x"},
    ]
    assert len({await principal_id(), *[await principal_id(**claims) for claims in others]}) == 5


async def test_the_log_says_why_a_token_was_refused_and_nothing_of_the_token(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    refused = token(aud="other", sub="s3cret")
    assert not await Issuer().accepts(refused)
    assert "its audience is not MEMOS_OIDC_AUDIENCE" in caplog.text
    assert not any(part in caplog.text for part in (*refused.split("."), "s3cret"))
