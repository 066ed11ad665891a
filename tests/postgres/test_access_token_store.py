"""Access tokens in Postgres."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

import pytest

from memos_mcp.domain.access_token import AccessToken, NewAccessToken
from memos_mcp.domain.errors import Invalid
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.database import Database

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NEW = NewAccessToken("team", "ann", frozenset({"read", "admin"}), NOW + HOUR, "Ann's laptop")


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


async def add(tokens: PostgresAccessTokens, text: str, new: NewAccessToken = NEW) -> AccessToken:
    return await tokens.add(new, f"memos_{text}", digest(text), NOW)


async def test_a_token_is_found_by_its_digest_with_all_that_was_stored(database: Database) -> None:
    tokens = PostgresAccessTokens(database)
    added = await add(tokens, "one")
    assert added == AccessToken(
        added.id, "memos_one", "team", "ann", frozenset({"read", "admin"}), NOW, NOW + HOUR, "Ann's laptop"
    )
    assert await tokens.find([digest("one"), digest("none")]) == {digest("one"): added}
    assert await tokens.find([digest("none")]) == {}


async def test_the_text_of_a_token_is_not_in_the_database(database: Database) -> None:
    tokens = PostgresAccessTokens(database)
    await tokens.add(NEW, "memos_", digest("the secret"), NOW)
    async with database.everything.connection() as connection:
        assert "secret" not in await connection.fetchval(
            "SELECT string_agg(token::text, '') FROM access_tokens AS token"
        )


async def test_tokens_are_listed_the_oldest_first(database: Database) -> None:
    tokens = PostgresAccessTokens(database)
    late = await tokens.add(NewAccessToken("b", "bob"), "late", digest("late"), NOW + HOUR)
    early = await add(tokens, "early")
    assert list(await tokens.every()) == [early, late]


async def test_a_token_is_revoked_once(database: Database) -> None:
    tokens = PostgresAccessTokens(database)
    one, other = await add(tokens, "one"), await add(tokens, "other")
    await tokens.revoke(one.id, NOW)
    await tokens.revoke(one.id, NOW + HOUR)
    await tokens.revoke(uuid4(), NOW)
    found = await tokens.find([digest("one"), digest("other")])
    assert [found[digest(text)].revoked_at for text in ("one", "other")] == [NOW, None]
    assert found[digest("other")] == other


async def test_the_last_use_is_the_latest_that_any_engine_has_recorded(database: Database) -> None:
    tokens = PostgresAccessTokens(database)
    ids = [(await add(tokens, text)).id for text in ("one", "two", "three")]
    await tokens.record_uses({ids[0]: NOW + HOUR, ids[1]: NOW})
    await tokens.record_uses({ids[0]: NOW, ids[1]: NOW + HOUR, uuid4(): NOW})
    found = {token.prefix: token.last_used_at for token in await tokens.every()}
    assert found == {"memos_one": NOW + HOUR, "memos_two": NOW + HOUR, "memos_three": None}


@pytest.mark.parametrize("rights", [frozenset(), frozenset({"read", "everything"})])
async def test_a_token_without_rights_or_with_unknown_ones_is_not_stored(
    database: Database, rights: frozenset[str]
) -> None:
    with pytest.raises(Invalid):
        await add(PostgresAccessTokens(database), "one", NewAccessToken("team", "ann", rights))  # type: ignore[arg-type]  # what the database must refuse
    assert await PostgresAccessTokens(database).every() == []
