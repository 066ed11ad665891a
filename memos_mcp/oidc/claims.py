"""Decides from the claims of a verified token whether it is for this server, and what it allows. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from memos_mcp.domain.access_token import Principal
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import ALL_RIGHTS, Right, Scope
from memos_mcp.oidc.refused_token import RefusedToken

SKEW_SECONDS: Final = 60
"""How far the clocks of the issuer and of this server may be apart."""

_MAX_TIME: Final = 2**53
_OF_ID_TOKENS: Final = ("nonce", "at_hash", "c_hash", "s_hash")
"""Claims that OpenID Connect defines for ID tokens only (Core, sections 2 and 3.3.2.11)."""

_OTHER_USES: Final = frozenset({"id", "refresh", "logout"})
"""What several issuers write in `token_use`, or in a claim `typ`, of tokens that are no access tokens."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """What the claims of a token must be, and which of them make its scope.

    namespace: that of all tokens; without it `namespace_claim` names the claim that has it. A name of a claim may lead
    into objects: `realm.tenant`.
    """

    issuer: str
    audience: str
    namespace: str | None
    namespace_claim: str | None
    agent_claim: str
    rights_claim: str


def check_claims(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> float:
    """Return until when a token is valid, like `now` in seconds since 1970; raise `RefusedToken` if it is not."""
    if claims.get("iss") != rules.issuer:
        raise RefusedToken("its issuer is not MEMOS_OIDC_ISSUER")
    audience = claims.get("aud")
    if rules.audience not in (audience if isinstance(audience, list) else [audience]):
        raise RefusedToken("its audience is not MEMOS_OIDC_AUDIENCE")
    expires = _time(claims, "exp")
    if expires is None or expires + SKEW_SECONDS <= now:
        raise RefusedToken("it has expired" if expires is not None else "it never expires")
    if any((moment := _time(claims, name)) is not None and moment - SKEW_SECONDS > now for name in ("nbf", "iat")):
        raise RefusedToken("it is not valid yet")
    if any(name in claims for name in _OF_ID_TOKENS) or any(
        str(claims.get(name)).lower() in _OTHER_USES for name in ("token_use", "typ")
    ):
        raise RefusedToken("it is no access token")
    if "cnf" in claims:  # RFC 7800: for who else holds a key, which a bearer does not prove
        raise RefusedToken("it is bound to a key of its client")
    return expires + SKEW_SECONDS


def principal_of(claims: Mapping[str, Any], rules: ClaimRules) -> Principal:
    """Return whose token this is; raise `RefusedToken` when its claims name no subject, namespace or agent.

    The subject's tokens for one client share the principal, so that a session continues with a renewed token. It has no
    rights if the token names none.
    """
    subject = _name(claims, "sub")
    namespace = rules.namespace or _name(claims, rules.namespace_claim or "")
    scope = Scope(namespace, _name(claims, rules.agent_claim), rights=_rights(_claim(claims, rules.rights_claim)))
    client = claims.get("client_id", claims.get("azp"))
    whose = json.dumps([rules.issuer, subject, client, scope.namespace, scope.agent_id])
    return Principal(f"oidc-{sha256(whose.encode()).hexdigest()}", f"oidc:{subject}", scope)


def scope_name(right: Right) -> str:
    """Return the OAuth scope, role or permission that stands for a right in a token."""
    return f"memos:{right}"


def _rights(value: Any) -> frozenset[Right]:
    """Read scopes separated by spaces (RFC 6749, section 3.3), or the list that other claims are."""
    named = value.split(" ") if isinstance(value, str) else value if isinstance(value, list) else ()
    return frozenset(right for right in ALL_RIGHTS if scope_name(right) in named)


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MAX_TIME < value < _MAX_TIME:
        raise RefusedToken("one of its times cannot be read")
    return float(value)


def _name(claims: Mapping[str, Any], claim: str) -> str:
    value = _claim(claims, claim)
    if not isinstance(value, str):
        raise RefusedToken(f"its claim {claim} is missing, or no text")
    try:
        check_name(claim, value)
    except Invalid:
        raise RefusedToken(f"its claim {claim} is not a name") from None
    return value


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, which may be a URL with dots, or by the path that leads to it; None without it."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
