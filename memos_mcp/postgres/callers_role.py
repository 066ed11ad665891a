"""Checks the role of callers, and the login, so that row-level security hides what it should and nothing else."""

from typing import Final

from memos_mcp.domain.errors import MemosError
from memos_mcp.postgres.connection import Connection

_SERIALIZE: Final = "SELECT pg_advisory_xact_lock(7305168201845)"
_HIDDEN_FROM_LOGIN: Final = "SELECT row_security_active('agent_memories')"
_MISSING: Final = "SELECT privilege, target::text, of_column FROM missing_privileges($1)"
_GRANT: Final = "SELECT grant_missing_privileges($1)"
_OWNS: Final = """
    SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'agent_memories'::regclass
"""
# Membership allows SET ROLE until version 15, and a grant's option SET from then on.
_ROLE: Final = """
    SELECT rolsuper OR rolbypassrls AS bypasses, pg_has_role(role.oid, relowner, 'USAGE') AS owns,
           has_schema_privilege(role.oid, relnamespace, 'USAGE') AS uses_schema,
           CASE WHEN current_setting('server_version_num')::int >= 160000 THEN pg_has_role(role.oid, 'SET')
                ELSE pg_has_role(role.oid, 'MEMBER') END AS settable
      FROM pg_roles AS role, pg_class
     WHERE rolname = $1
       AND pg_class.oid = 'agent_memories'::regclass
"""
# The operators by which rows are found in GIN indexes. Row-level security uses an index only by functions that reveal
# nothing of the rows which they reject.
_UNUSED_INDEXES: Final = """
    SELECT count(*)
      FROM unnest($1::text[]) AS wanted (function)
      JOIN pg_proc ON pg_proc.oid = to_regprocedure('pg_catalog.' || wanted.function)
     WHERE NOT proleakproof
"""
LEAKPROOF: Final = (
    "ts_match_vq(tsvector, tsquery)",
    "arraycontains(anyarray, anyarray)",
    "jsonb_contains(jsonb, jsonb)",
    "jsonb_exists(jsonb, text)",
    "jsonb_object_field(jsonb, text)",
    "lower(text)",
)

SLOW_SEARCHES: Final = (
    "Behind MEMOS_DATABASE_ROLE, searches by words, tags or metadata read their whole namespace: operators that the "
    "indexes need are not marked LEAKPROOF. A superuser can do that, see the section on walls in docs/operations.md."
)


class RoleFault(MemosError):
    """Row-level security would hide too much or too little; a person must change a role."""


async def check_login(connection: Connection) -> None:
    """Raise `RoleFault` if the tables seem to be empty to the role of the login."""
    async with connection.transaction():
        if await connection.fetchval(_HIDDEN_FROM_LOGIN):
            raise RoleFault(
                "The login of MEMOS_DATABASE_URL does not own the tables of the memory store, so that row-level "
                "security hides their rows. Log in as their owner, or as a role that has its rights."
            )


async def prepare_role(connection: Connection, role: str) -> None:
    """Grant the role of callers what it lacks; raise `RoleFault` if statements that run as it would not be confined."""
    async with connection.transaction():
        await connection.execute(_SERIALIZE)
        row = await connection.fetchrow(_ROLE, role)
        if row is None:
            raise _fault(role, "does not exist. Create it, and grant it to the login of MEMOS_DATABASE_URL.")
        if row["bypasses"]:
            raise _fault(role, "is a superuser or has BYPASSRLS: row-level security would not confine it.")
        if row["owns"]:
            raise _fault(role, "has the rights of the tables' owner: row-level security would not confine it.")
        if not row["settable"]:
            raise _fault(role, "is not granted to the login of MEMOS_DATABASE_URL, which therefore cannot act as it.")
        if not row["uses_schema"]:
            raise _fault(role, "has no USAGE on the schema of the tables. Grant that.")
        missing = await connection.fetch(_MISSING, role)
        if missing and not await connection.fetchval(_OWNS):
            named = ", ".join(f"{one['privilege']} on {one['target']}" for one in missing)
            raise _fault(role, f"lacks privileges, which only the owner of the tables can grant: {named}.")
        if missing:
            await connection.fetchval(_GRANT, role)


async def count_unused_indexes(connection: Connection) -> int:
    """Return how many operators keep statements behind row-level security from using an index."""
    return int(await connection.fetchval(_UNUSED_INDEXES, LEAKPROOF))


def _fault(role: str, what: str) -> RoleFault:
    return RoleFault(f"MEMOS_DATABASE_ROLE: the role {role} {what} See the section on walls in docs/operations.md.")
