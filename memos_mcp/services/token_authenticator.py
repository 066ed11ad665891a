"""Checks the access tokens of requests against the record, remembering each answer for less than a second."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
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


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the record has of a token, and when it was asked: no token and no principal if it has none."""

    at: float
    token: AccessToken | None = None
    principal: Principal | None = None


@dataclass(slots=True)
class _Lookup:
    """A lookup of all tokens that requests wait for at once. `answers` is set when it is done."""

    digests: set[bytes] = field(default_factory=set)
    answers: Mapping[bytes, _Answer] | None = None


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
        self._found = OrderedDict[bytes, _Answer]()
        self._unknown = OrderedDict[bytes, _Answer]()
        self._next = _Lookup()
        self._lookup_lock = anyio.Lock(fast_acquire=True)
        self._recorded = dict[UUID, datetime]()
        self._used = dict[UUID, datetime]()
        self._was_used = anyio.Event()

    async def authenticate(self, bearer: str) -> Principal | None:
        """Return whose token this is, or None for one that is unknown, expired or revoked."""
        if not is_token(bearer):
            return None
        digest = digest_of(bearer)
        answer = self._remembered(digest) or await self._looked_up(digest)
        now = self._now()
        if answer.token is None or answer.token.state(now) != "active":
            return None
        self._note_use(answer.token, now)
        return answer.principal

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

    def _remembered(self, digest: bytes) -> _Answer | None:
        now = self._seconds()
        if (found := self._found.get(digest)) is not None and found.at > now - FOUND_SECONDS:
            return found
        if (unknown := self._unknown.get(digest)) is not None and unknown.at > now - UNKNOWN_SECONDS:
            return unknown
        return None

    async def _looked_up(self, digest: bytes) -> _Answer:
        """Look up a token with all others that requests wait for, so that a flood takes one connection and delays few.

        If a lookup fails, or its request is cancelled, the next one that waits for it repeats it.
        """
        lookup = self._next
        lookup.digests.add(digest)
        async with self._lookup_lock:
            if lookup.answers is None:
                if self._next is lookup:
                    self._next = _Lookup()
                lookup.answers = await self._answers(lookup.digests)
        return lookup.answers[digest]

    async def _answers(self, digests: set[bytes]) -> Mapping[bytes, _Answer]:
        """Look up those that the lookup before has not answered."""
        started = self._seconds()
        answers = {digest: answer for digest in digests if (answer := self._remembered(digest)) is not None}
        if missing := digests - answers.keys():
            found = await self._store.find(missing)
            for digest in missing:
                answers[digest] = _answer(started, found.get(digest))
                self._remember(digest, answers[digest])
        return answers

    def _remember(self, digest: bytes, answer: _Answer) -> None:
        self._found.pop(digest, None)
        self._unknown.pop(digest, None)
        remembered, most = (self._unknown, MAX_UNKNOWN) if answer.token is None else (self._found, MAX_FOUND)
        remembered[digest] = answer
        if len(remembered) > most:
            remembered.popitem(last=False)

    def _note_use(self, token: AccessToken, now: datetime) -> None:
        last = max(filter(None, (token.last_used_at, self._recorded.get(token.id))), default=None)
        if last is None or now - last >= USE_INTERVAL:
            self._recorded[token.id] = self._used[token.id] = now
            self._was_used.set()


def _answer(at: float, token: AccessToken | None) -> _Answer:
    if token is None:
        return _Answer(at)
    scope = Scope(token.namespace, token.agent_id, rights=token.rights)
    return _Answer(at, token, Principal(str(token.id), token.prefix, scope))
