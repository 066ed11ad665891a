"""Keeps the keys of an issuer, and follows their rotation."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio

from memos_mcp.domain.errors import Unavailable
from memos_mcp.oidc.issuer_metadata import FetchError
from memos_mcp.oidc.signatures import SigningKeys, VerifyingKey

FRESH_SECONDS: Final = 600.0
"""After this time the keys are fetched again, so that one that the issuer has withdrawn is no longer accepted."""

RETRY_SECONDS: Final = 60.0
"""The least time between attempts to do so, while requests with known keys are served."""

UNKNOWN_SECONDS: Final = 10.0
"""The least time between fetches for keys that are not known: tokens with invented ones cost the issuer no more."""

TRUSTED_SECONDS: Final = 24 * 3600.0
"""How long keys are accepted without the issuer's word that they are its own."""

logger = logging.getLogger(__name__)


class IssuerKeys:
    """The current keys of an issuer. `fetch` returns them or raises `FetchError`; `seconds` is a clock nobody sets.

    generation: changes with the keys.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[list[Any]]], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetch = fetch
        self._seconds = seconds
        self._keys = SigningKeys([])
        self._confirmed = self._attempted = float("-inf")
        self._lock = anyio.Lock(fast_acquire=True)
        self.generation = 0

    async def find(self, key_id: str, algorithm: str) -> VerifyingKey | None:
        """Return the key with this id for this algorithm, or None if the issuer has none.

        Raise `Unavailable` if that is not known, because the issuer cannot be asked.
        """
        key = self._known(key_id, algorithm)
        if key is None:
            await self._refresh(UNKNOWN_SECONDS)
            key = self._known(key_id, algorithm)
        elif self._age() > FRESH_SECONDS and not self._lock.locked():  # one request waits, the others do not
            await self._refresh(RETRY_SECONDS)
            key = self._known(key_id, algorithm)
        if key is None and self._confirmed < self._attempted:
            raise Unavailable("The issuer of access tokens is currently not reachable. Repeat the request.")
        return key

    def _known(self, key_id: str, algorithm: str) -> VerifyingKey | None:
        return self._keys.find(key_id, algorithm) if self._age() <= TRUSTED_SECONDS else None

    def _age(self) -> float:
        return self._seconds() - self._confirmed

    async def _refresh(self, interval: float) -> None:
        """Fetch the keys, unless that was attempted within `interval`. Concurrent requests share one fetch."""
        async with self._lock:
            now = self._seconds()
            if now - self._attempted < interval:
                return
            self._attempted = now
            with anyio.CancelScope(shield=True):  # a client that disconnects must not keep others from new keys
                try:
                    keys = SigningKeys(await self._fetch())
                except FetchError as error:
                    logger.warning("The keys of the issuer of access tokens cannot be fetched: %s.", error)
                    return
            self._confirmed = now
            if keys.jwks != self._keys.jwks:
                self._keys = keys
                self.generation += 1
