from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types
import pytest

from memos_mcp.domain.audit import AuditQuery, AuditRecord
from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.postgres.audit import PostgresAudit
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLIENT = Client("desktop", "1.2", "stdio")
SCOPE = Scope("team", "ann", CLIENT, token_id="memos_0b26f7d2")


def record(minutes: int = 0, **values: Any) -> AuditRecord:
    fields: dict[str, Any] = {"scope": SCOPE, "tool": "query_memory", "outcome": "ok", "transport": "stdio"} | values
    return AuditRecord(NOON + timedelta(minutes=minutes), **fields)


async def tools(audit: PostgresAudit, **query: Any) -> list[str | None]:
    return [one.tool for one in await audit.find(AuditQuery(**{"namespace": "team"} | query))]


async def test_a_record_is_returned_with_all_that_it_has(database: Database) -> None:
    audit = PostgresAudit(database)
    stored = record(item_ids=["a", "b, c"], request_id="r", calls=3)
    await audit.add([stored])
    (found,) = await audit.find(AuditQuery("team"))
    assert found == stored
    assert found.scope is not None
    assert (found.scope.client, found.scope.token_id) == (CLIENT, "memos_0b26f7d2")


async def test_records_are_found_by_every_condition_newest_first(database: Database) -> None:
    audit = PostgresAudit(database)
    await audit.add(
        [
            record(0, tool="first"),
            record(1, tool="second", scope=Scope("team", "bob")),
            record(2, tool="third", outcome="refused"),
            record(2, tool="fourth"),
            record(3, tool="foreign", scope=Scope("other", "ann")),
            record(4, tool=None, scope=None, outcome="unauthenticated", transport="http"),
        ]
    )
    assert await tools(audit) == [None, "fourth", "third", "second", "first"]
    assert await tools(audit, namespace=None) == [None, "foreign", "fourth", "third", "second", "first"]
    assert await tools(audit, agent_id="bob") == ["second"]
    assert await tools(audit, tool="third") == ["third"]
    assert await tools(audit, outcome="unauthenticated") == [None]
    window = {"since": NOON + timedelta(minutes=1), "until": NOON + timedelta(minutes=2)}
    assert await tools(audit, **window) == ["fourth", "third", "second"]
    assert await tools(audit, limit=2) == [None, "fourth"]


async def test_a_change_by_a_command_is_in_the_trail_and_one_by_a_call_is_there_once(database: Database) -> None:
    audit, memories = PostgresAudit(database), PostgresMemories(database)
    by_command = await memories.add(Scope("team", "ann", Client("memos-as", "1", "command line")), NewMemory("x"), NOON)
    by_call = await memories.add(SCOPE, NewMemory("y"), NOON)
    await audit.add([record(1, tool="store_memory", item_ids=[str(by_call.memory_id)])])
    found = await audit.find(AuditQuery("team"))
    assert [(one.tool, list(one.item_ids)) for one in found] == [
        ("store_memory", [str(by_call.memory_id)]),
        ("stored", [str(by_command.memory_id)]),
    ]


async def test_records_are_never_changed(database: Database) -> None:
    await PostgresAudit(database).add([record()])
    with pytest.raises(MemosError) as refused:
        async with database.everything.connection() as connection:
            await connection.execute("UPDATE audit_records SET outcome = 'ok'")
    assert isinstance(refused.value.__cause__, asyncpg.RestrictViolationError)


async def test_old_records_are_deleted(database: Database) -> None:
    audit = PostgresAudit(database)
    await audit.add([record(0, tool="old"), record(2, tool="new")])
    assert await audit.prune(NOON + timedelta(minutes=1)) == 1
    assert await tools(audit) == ["new"]
