"""Checks the access tokens of requests against the record, remembering each answer for less than a second."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import anyio

from memos_mcp.domain.access_token import AccessToken, AccessTokenStore, Principal
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.services.access_tokens import digest_of, is_token

FOUND_SECONDS: Final = 0.5
"""How long a token that exists is not looked up again: one that is revoked elsewhere is refused within a second."""

UNKNOWN_SECONDS: Final = 10.0
"""The same for one that does not exist, and that nobody can bring into being: tokens are random."""

MAX_FOUND: Final = 10_000
MAX_UNKNOWN: Final = 1_000
USE_INTERVAL: Final = timedelta(minutes=1)
RETRY_SECONDS: Final = 5.0


class _Checked(NamedTuple):
    token: AccessToken
    principal: Principal
    at: float


class TokenAuthenticator:
    """The `Authenticator` port on the access tokens of the record.

    `now` is the clock, `seconds` one that nobody sets.
    """

    def __init__(
        self, store: AccessTokenStore, now: Callable[[], datetime], seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._now = now
        self._seconds = seconds
        self._found = OrderedDict[bytes, _Checked]()
        self._unknown = OrderedDict[bytes, float]()
        self._wanted = set[bytes]()
        self._lookup_lock = anyio.Lock(fast_acquire=True)
        self._recorded = dict[UUID, datetime]()
        self._used = dict[UUID, datetime]()
        self._was_used = anyio.Event()

    async def authenticate(self, bearer: str) -> Principal | None:
        """Return whose token this is, or None for one that is unknown, expired or revoked."""
        if not is_token(bearer):
            return None
        digest = digest_of(bearer)
        if not self._is_known(digest):
            await self._look_up(digest)
        checked = self._found.get(digest)
        if checked is None:
            return None
        now = self._now()
        if checked.token.state(now) != "active":
            return None
        self._note_use(checked.token, now)
        return checked.principal

    async def record_uses(self) -> None:
        """Record when tokens are used, each at most once a minute, until cancelled. No request waits for this."""
        while True:
            await self._was_used.wait()
            self._was_used, used = anyio.Event(), self._used
            self._used = {}
            try:
                await self._store.record_uses(used)
            except Unavailable:  # the next use counts
                await anyio.sleep(RETRY_SECONDS)

    def _is_known(self, digest: bytes) -> bool:
        now = self._seconds()
        return self._was_found_since(digest, now - FOUND_SECONDS) or self._was_missing_since(
            digest, now - UNKNOWN_SECONDS
        )

    def _was_found_since(self, digest: bytes, moment: float) -> bool:
        checked = self._found.get(digest)
        return checked is not None and checked.at >= moment

    def _was_missing_since(self, digest: bytes, moment: float) -> bool:
        missed = self._unknown.get(digest)
        return missed is not None and missed >= moment

    async def _look_up(self, digest: bytes) -> None:
        """Look up all tokens that requests wait for at once, so that a flood takes one connection and delays few.

        If it fails, or its request is cancelled, each of the others looks up its own.
        """
        asked = self._seconds()
        self._wanted.add(digest)
        async with self._lookup_lock:
            if self._was_found_since(digest, asked) or self._was_missing_since(digest, asked):
                return
            wanted, self._wanted = self._wanted | {digest}, set()
            started = self._seconds()
            self._remember(wanted, await self._store.find(wanted), started)

    def _remember(self, wanted: set[bytes], found: Mapping[bytes, AccessToken], started: float) -> None:
        for digest in wanted:
            self._found.pop(digest, None)
            self._unknown.pop(digest, None)
            if (token := found.get(digest)) is None:
                self._unknown[digest] = started
            else:
                self._found[digest] = _Checked(token, _principal(token), started)
        while len(self._found) > MAX_FOUND:
            self._found.popitem(last=False)
        while len(self._unknown) > MAX_UNKNOWN:
            self._unknown.popitem(last=False)

    def _note_use(self, token: AccessToken, now: datetime) -> None:
        last = max(filter(None, (token.last_used_at, self._recorded.get(token.id))), default=None)
        if last is None or now - last >= USE_INTERVAL:
            self._recorded[token.id] = self._used[token.id] = now
            self._was_used.set()


def _principal(token: AccessToken) -> Principal:
    return Principal(str(token.id), token.prefix, Scope(token.namespace, token.agent_id, rights=token.rights))
