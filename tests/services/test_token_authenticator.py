"""Access tokens are checked on a record that others change meanwhile."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

import anyio
import pytest

from memos_mcp.domain.access_token import AccessToken, NewAccessToken, Principal
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.database import Database
from memos_mcp.services.access_tokens import AccessTokens, new_token
from memos_mcp.services.token_authenticator import FOUND_SECONDS, MAX_UNKNOWN, UNKNOWN_SECONDS, TokenAuthenticator

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NEW = NewAccessToken("team", "ann", frozenset({"read"}))


class CountedTokens(PostgresAccessTokens):
    """The real store, which counts what it is asked."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.lookups: list[int] = []
        self.recorded: list[Mapping[UUID, datetime]] = []

    async def find(self, digests: Collection[bytes]) -> Mapping[bytes, AccessToken]:
        self.lookups.append(len(digests))
        return await super().find(digests)

    async def record_uses(self, used_at: Mapping[UUID, datetime]) -> None:
        await super().record_uses(used_at)
        self.recorded.append(used_at)


class Engine:
    """An authenticator with clocks that a test sets."""

    def __init__(self, database: Database) -> None:
        self.now, self.seconds = NOW, 1_000.0
        self.store = CountedTokens(database)
        self.tokens = AccessTokens(self.store, lambda: self.now)
        self.authenticator = TokenAuthenticator(self.store, lambda: self.now, lambda: self.seconds)

    async def authenticate(self, token: str) -> Principal | None:
        return await self.authenticator.authenticate(token)


@pytest.fixture
def engine(database: Database) -> Engine:
    return Engine(database)


async def test_a_token_stands_for_its_scope_and_its_rights(engine: Engine) -> None:
    text, token = await engine.tokens.create(NEW)
    principal = await engine.authenticate(text)
    assert principal == Principal(str(token.id), token.prefix, Scope("team", "ann"))
    assert principal.scope.rights == {"read"}


async def test_a_token_is_looked_up_once_in_half_a_second(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NEW)
    for _ in range(5):
        assert await engine.authenticate(text)
    assert engine.store.lookups == [1]
    engine.seconds += FOUND_SECONDS + 0.01
    assert await engine.authenticate(text)
    assert engine.store.lookups == [1, 1]


async def test_a_token_that_another_engine_revokes_is_refused_within_half_a_second(
    engine: Engine, database: Database
) -> None:
    text, token = await engine.tokens.create(NEW)
    assert await engine.authenticate(text)
    await Engine(database).tokens.revoke(token.prefix)
    engine.seconds += FOUND_SECONDS + 0.01
    assert await engine.authenticate(text) is None
    assert FOUND_SECONDS < 1


async def test_a_token_expires_though_it_is_remembered(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NewAccessToken("team", "ann", expires_at=NOW + timedelta(seconds=1)))
    assert await engine.authenticate(text)
    engine.now += timedelta(seconds=1)
    assert await engine.authenticate(text) is None
    assert engine.store.lookups == [1]


async def test_a_text_that_is_no_token_is_refused_without_a_lookup(engine: Engine) -> None:
    for text in ("", "s3cret", "memos_", new_token()[0] + "A", new_token()[0].replace("memos", "MEMOS")):
        assert await engine.authenticate(text) is None
    assert engine.store.lookups == []


async def test_an_unknown_token_is_looked_up_once_in_a_while(engine: Engine) -> None:
    unknown, _ = new_token()
    for _ in range(3):
        assert await engine.authenticate(unknown) is None
    assert engine.store.lookups == [1]
    engine.seconds += UNKNOWN_SECONDS + 0.01
    assert await engine.authenticate(unknown) is None
    assert engine.store.lookups == [1, 1]


async def test_requests_at_once_with_one_token_make_one_lookup(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NEW)
    found: list[object] = []

    async def one() -> None:
        found.append(await engine.authenticate(text))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(one)
    assert engine.store.lookups == [1]
    assert len(found) == 50
    assert all(found)


async def test_a_flood_of_unknown_tokens_takes_few_lookups_and_bounded_memory(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NEW)
    flood = 3 * MAX_UNKNOWN
    async with anyio.create_task_group() as tasks:
        for _ in range(flood):
            tasks.start_soon(engine.authenticate, new_token()[0])
        assert await engine.authenticate(text)
    assert sum(engine.store.lookups) == flood + 1
    assert len(engine.store.lookups) <= 3
    assert len(engine.authenticator._unknown) == MAX_UNKNOWN
    assert not engine.authenticator._next.digests


async def test_a_cancelled_request_takes_no_answer_from_those_that_wait_with_it(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NEW)
    found: list[object] = []

    async def one() -> None:
        found.append(await engine.authenticate(text))

    async with anyio.create_task_group() as others, anyio.create_task_group() as cancelled:
        cancelled.start_soon(engine.authenticate, text)
        await anyio.lowlevel.checkpoint()
        for _ in range(3):
            others.start_soon(one)
        await anyio.lowlevel.checkpoint()
        cancelled.cancel_scope.cancel()
    assert len(found) == 3
    assert all(found)
    assert engine.store.lookups == [1, 1]


async def test_an_unreachable_record_is_an_error_and_no_refusal() -> None:
    engine = Engine(Database("postgresql://127.0.0.1:1/none"))
    with pytest.raises(StoreUnavailable):
        await engine.authenticate(new_token()[0])


async def test_a_use_is_recorded_in_the_background_at_most_once_a_minute(engine: Engine) -> None:
    text, _ = await engine.tokens.create(NEW)

    async def use_at(moment: datetime, records: int) -> None:
        engine.now = moment
        assert await engine.authenticate(text)
        with anyio.fail_after(10):
            while len(engine.store.recorded) < records:
                await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(engine.authenticator.record_uses)
        await use_at(NOW, 1)
        await use_at(NOW + timedelta(seconds=59), 1)
        await use_at(NOW + timedelta(seconds=60), 2)
        tasks.cancel_scope.cancel()
    assert [list(used.values()) for used in engine.store.recorded] == [[NOW], [NOW + timedelta(seconds=60)]]
    assert [token.last_used_at for token in await engine.tokens.every()] == [NOW + timedelta(seconds=60)]


async def test_a_use_that_another_engine_has_just_recorded_is_not_recorded_again(
    engine: Engine, database: Database
) -> None:
    text, token = await engine.tokens.create(NEW)
    await PostgresAccessTokens(database).record_uses({token.id: NOW - timedelta(seconds=30)})
    assert await engine.authenticate(text)
    assert not engine.authenticator._was_used.is_set()


async def test_a_refused_token_is_not_used(engine: Engine) -> None:
    text, token = await engine.tokens.create(NEW)
    await engine.tokens.revoke(token.prefix)
    assert await engine.authenticate(text) is None
    assert not engine.authenticator._was_used.is_set()
