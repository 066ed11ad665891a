"""Stores access tokens in Postgres."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from memos_mcp.domain.access_token import AccessToken, NewAccessToken
from memos_mcp.postgres.connection import UNAVAILABLE, Contended, Row
from memos_mcp.postgres.database import Database, retried

_ADD: Final = """
    INSERT INTO access_tokens (digest, prefix, namespace, agent_id, rights, expires_at, note, created_at)
    VALUES ($1, $2, $3, $4, $5::text[], $6, $7, $8)
    RETURNING id, prefix, namespace, agent_id, rights, created_at, expires_at, note, revoked_at, last_used_at
"""
_FIND: Final = """
    SELECT digest, id, prefix, namespace, agent_id, rights, created_at, expires_at, note, revoked_at, last_used_at
      FROM access_tokens
     WHERE digest = ANY ($1::bytea[])
"""
_EVERY: Final = """
    SELECT id, prefix, namespace, agent_id, rights, created_at, expires_at, note, revoked_at, last_used_at
      FROM access_tokens
     ORDER BY created_at, id
"""
_REVOKE: Final = "UPDATE access_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL"
# In the order of the ids, so that engines that record the same tokens at once cannot deadlock.
_RECORD_USES: Final = """
    WITH used AS (
        SELECT token.id, at
          FROM unnest($1::uuid[], $2::timestamptz[]) AS given (id, at)
          JOIN access_tokens AS token ON token.id = given.id AND coalesce(last_used_at < at, true)
         ORDER BY token.id
           FOR UPDATE OF token
    )
    UPDATE access_tokens AS token SET last_used_at = at FROM used WHERE token.id = used.id
"""


class PostgresAccessTokens:
    """The `AccessTokenStore` port."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @retried
    async def add(self, new: NewAccessToken, prefix: str, digest: bytes, now: datetime) -> AccessToken:
        rights = sorted(new.rights)
        values = (digest, prefix, new.namespace, new.agent_id, rights, new.expires_at, new.note, now)
        async with self._database.everything.connection() as connection:
            row = await connection.fetchrow(_ADD, *values)
        if row is None:
            raise Contended(UNAVAILABLE)
        return _token(row)

    async def find(self, digests: Collection[bytes]) -> Mapping[bytes, AccessToken]:
        async with self._database.everything.lookup() as connection:
            return {row["digest"]: _token(row) for row in await connection.fetch(_FIND, list(digests))}

    async def every(self) -> Sequence[AccessToken]:
        async with self._database.everything.connection() as connection:
            return [_token(row) for row in await connection.fetch(_EVERY)]

    async def revoke(self, token_id: UUID, now: datetime) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_REVOKE, token_id, now)

    async def record_uses(self, used_at: Mapping[UUID, datetime]) -> None:
        async with self._database.everything.connection() as connection:
            await connection.execute(_RECORD_USES, list(used_at), list(used_at.values()))


def _token(row: Row) -> AccessToken:
    return AccessToken(
        id=row["id"],
        prefix=row["prefix"],
        namespace=row["namespace"],
        agent_id=row["agent_id"],
        rights=frozenset(row["rights"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        note=row["note"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
