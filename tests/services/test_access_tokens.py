"""Access tokens are made, recognised and revoked."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from memos_mcp.domain.access_token import AccessToken, NewAccessToken
from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.database import Database
from memos_mcp.services.access_tokens import AccessTokens, digest_of, is_token

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NEW = NewAccessToken("team", "ann")


@pytest.fixture
def tokens(database: Database) -> AccessTokens:
    return AccessTokens(PostgresAccessTokens(database), lambda: NOW)


async def test_a_token_begins_with_its_prefix_and_has_256_random_bits_more(tokens: AccessTokens) -> None:
    text, token = await tokens.create(NEW)
    secret = text.removeprefix(f"{token.prefix}_")
    assert is_token(text)
    assert len(secret) * 6 >= 256
    assert (await tokens.create(NEW))[0] != text


@pytest.mark.parametrize(
    "text",
    ["", "memos_", "memos_0000000g_" + "A" * 43, "memos_00000000_" + "A" * 42, "memos_00000000_" + "A" * 43 + "\n"],
)
def test_a_text_of_another_form_is_no_token(text: str) -> None:
    assert not is_token(text)


async def test_a_token_is_stored_under_its_digest_only(tokens: AccessTokens, database: Database) -> None:
    text, token = await tokens.create(NEW)
    assert await PostgresAccessTokens(database).find([digest_of(text)]) == {digest_of(text): token}


@pytest.mark.parametrize(
    "new",
    [
        NewAccessToken("", "ann"),
        NewAccessToken("team", "a\x00b"),
        NewAccessToken("n" * 256, "ann"),
        NewAccessToken("team", "ann", frozenset()),
        NewAccessToken("team", "ann", note="two\nlines"),
        NewAccessToken("team", "ann", note="n" * 201),
    ],
)
async def test_what_cannot_be_stored_is_refused(tokens: AccessTokens, new: NewAccessToken) -> None:
    with pytest.raises(Invalid):
        await tokens.create(new)
    assert await tokens.every() == []


async def test_a_token_is_revoked_by_its_prefix_its_id_or_its_text(tokens: AccessTokens) -> None:
    made = [await tokens.create(NEW) for _ in range(5)]
    ways = [
        made[0][1].prefix,
        made[1][1].prefix.removeprefix("memos_")[:7],
        str(made[2][1].id),
        str(made[3][1].id)[:13].upper(),
        made[4][0],
    ]
    for (_, token), reference in zip(made, ways, strict=True):
        assert (await tokens.revoke(reference)).id == token.id
    assert {token.state(NOW) for token in await tokens.every()} == {"revoked"}


async def test_a_reference_that_names_no_token_or_several_revokes_none(
    tokens: AccessTokens, database: Database
) -> None:
    store = PostgresAccessTokens(database)
    for number, prefix in enumerate(("memos_11112222", "memos_11113333")):
        await store.add(NEW, prefix, bytes([number]) * 32, NOW)
    with pytest.raises(Invalid, match="Several access tokens begin so"):
        await tokens.revoke("memos_1111")
    for reference in ("memos_", "", "111", "memos_111144", "%", "11112222'"):
        with pytest.raises(NotFound, match="No such access token"):
            await tokens.revoke(reference)
    assert {token.state(NOW) for token in await tokens.every()} == {"active"}


def test_a_token_is_expired_from_its_last_moment_on() -> None:
    token = AccessToken(uuid4(), "memos_0", "team", "ann", frozenset({"read"}), NOW, expires_at=NOW)
    assert token.state(NOW - timedelta(microseconds=1)) == "active"
    assert token.state(NOW) == "expired"
