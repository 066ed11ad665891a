"""Makes, lists and revokes access tokens."""

import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final

from memos_mcp.domain.access_token import AccessToken, AccessTokenStore, NewAccessToken
from memos_mcp.domain.errors import Invalid, NotFound

PREFIX_BYTES: Final = 4
SECRET_BYTES: Final = 32
"""256 random bits: too many to guess, so a plain SHA-256 of the token is enough to store."""

_TOKEN: Final = re.compile(r"(memos_[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
MAX_NAMED: Final = 5
MIN_DIGITS: Final = 4


def new_token() -> tuple[str, str]:
    """Return the text of a new token, and the prefix by which it is recognised."""
    prefix = f"memos_{secrets.token_hex(PREFIX_BYTES)}"
    return f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}", prefix


def is_token(text: str) -> bool:
    """Whether a text has the form of a token: no other one needs to be looked up."""
    return _TOKEN.fullmatch(text) is not None


def digest_of(token: str) -> bytes:
    """Return the SHA-256 of a token, 32 bytes, under which it is stored."""
    return sha256(token.encode()).digest()


class AccessTokens:
    """The access tokens of all namespaces, for the operator. `now` is the clock."""

    def __init__(self, store: AccessTokenStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def create(self, new: NewAccessToken) -> tuple[str, AccessToken]:
        """Store a new token; return its text, which cannot be had again, and what is stored of it."""
        new.check()
        text, prefix = new_token()
        return text, await self._store.add(new, prefix, digest_of(text), self._now())

    async def every(self) -> Sequence[AccessToken]:
        """Return all tokens, also expired and revoked ones, the oldest first."""
        return await self._store.every()

    async def revoke(self, reference: str) -> AccessToken:
        """Revoke a token by its prefix, its id, or the beginning of either; return it as it was.

        Raise `NotFound` when there is none, `Invalid` for several.
        """
        found = [token for token in await self._store.every() if _is_meant(token, reference)]
        if not found:
            raise NotFound("No such access token. List them: memos-as token list")
        if len(found) > 1:
            named = ", ".join(str(token.id) for token in found[:MAX_NAMED])
            raise Invalid(f"Several access tokens begin so: {named}. Give the id of one. Nothing was changed.")
        await self._store.revoke(found[0].id, self._now())
        return found[0]


def _is_meant(token: AccessToken, reference: str) -> bool:
    """Whether a reference is a prefix or an id, or the beginning of one, or the whole text of the token."""
    whole = _TOKEN.fullmatch(reference)
    digits = (whole[1] if whole else reference).removeprefix("memos_").lower()
    prefix = token.prefix.removeprefix("memos_")
    return len(digits) >= MIN_DIGITS and (prefix.startswith(digits) or str(token.id).startswith(digits))
