"""Authenticates requests by access tokens that an issuer has signed."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from memos_mcp.domain.access_token import Principal
from memos_mcp.oidc.claims import ClaimRules, check_claims, principal_of
from memos_mcp.oidc.issuer_keys import IssuerKeys
from memos_mcp.oidc.issuer_metadata import IssuerMetadata
from memos_mcp.oidc.refused_token import RefusedToken
from memos_mcp.oidc.signatures import verified_payload
from memos_mcp.oidc.token_text import is_signed_token, read_claims, read_header

REMEMBERED_SECONDS: Final = 60.0
"""How long a token is not verified again. Its keys are checked for their age at each verification only."""

MAX_REMEMBERED: Final = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    until: float
    generation: int


class IssuerAuthenticator:
    """The `Authenticator` port on the signed tokens of an issuer. `now` is the clock, in seconds since 1970."""

    def __init__(
        self, rules: ClaimRules, algorithms: frozenset[str], keys: IssuerKeys, now: Callable[[], float] = time.time
    ) -> None:
        self._rules = rules
        self._algorithms = algorithms
        self._keys = keys
        self._now = now
        self._verified = OrderedDict[bytes, _Verified]()

    async def authenticate(self, bearer: str) -> Principal | None:
        """Return whose token this is, or None if it is not one that the issuer has signed for this server.

        Raise `Unavailable` while the key that has signed it is not known and cannot be fetched.
        """
        if not is_signed_token(bearer):
            return None
        digest = sha256(bearer.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known.until > self._now() and known.generation == self._keys.generation:
            return known.principal
        try:
            verified = await self._verify(bearer)
        except RefusedToken as refused:
            logger.info("A token was refused: %s.", refused)
            return None
        self._remember(digest, verified)
        return verified.principal

    async def _verify(self, bearer: str) -> _Verified:
        header = read_header(bearer, self._algorithms)
        key = await self._keys.find(header.key_id, header.algorithm)
        if key is None:
            raise RefusedToken("the issuer has no key of this name for this algorithm")
        claims = read_claims(verified_payload(bearer, key))
        now = self._now()
        until = min(check_claims(claims, self._rules, now), now + REMEMBERED_SECONDS)
        return _Verified(principal_of(claims, self._rules), until, self._keys.generation)

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._verified.pop(digest, None)
        self._verified[digest] = verified
        if len(self._verified) > MAX_REMEMBERED:
            self._verified.popitem(last=False)


def issuer_authenticator(rules: ClaimRules, algorithms: frozenset[str]) -> IssuerAuthenticator:
    """Return an authenticator with the keys that the issuer publishes. Nothing is fetched before a token needs it."""
    return IssuerAuthenticator(rules, algorithms, IssuerKeys(IssuerMetadata(rules.issuer).fetch_keys))
