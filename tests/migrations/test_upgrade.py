"""An upgrade of a populated database: its rows are whole afterwards, and its triggers work."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from memos_mcp.domain.index import ALL_ITEMS
from memos_mcp.domain.memory import MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolFilter
from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.index_log import PostgresIndexLog
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from memos_mcp.postgres.row_states import PostgresMemoryRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools

pytestmark = pytest.mark.anyio

ROWS = Path(__file__).with_name("populated_0006.sql").read_text(encoding="utf-8")
FILES = read_migrations(migrations_folder())
NOW = datetime(2026, 2, 1, tzinfo=UTC)
ANN = Scope("home", "ann")
ALL = MemoryFilter()
LEASE = timedelta(minutes=1)
FERRY, CAT, BOB, OFFICE, TEA_AT_FOUR, TEA_AT_FIVE, OLD_CODE, CODE, BOIL, POUR = (
    UUID(f"00000000-0000-4000-8000-{number:012x}") for number in range(1, 11)
)
MAIL = UUID("00000000-0000-4000-9000-000000000001")


async def recorded(connection: Connection) -> list[tuple[str, str]]:
    rows = await connection.fetch("SELECT name, checksum FROM schema_migrations ORDER BY name")
    return [(row["name"], row["checksum"]) for row in rows]


@pytest.fixture
async def upgraded(empty_url: str) -> AsyncIterator[Database]:
    """A database that was populated at 0006 and then migrated to the newest schema."""
    connection = await connect(empty_url)
    assert await migrate(connection, FILES[:6]) == [file.name for file in FILES[:6]]
    await connection.execute(ROWS)
    assert await migrate(connection, FILES) == [file.name for file in FILES[6:]]
    await connection.close(timeout=5)
    database = Database(empty_url)
    yield database
    await database.close()


MOVED = UUID("00000000-0000-4000-8000-0000000000ff")
CHINESE_ROWS = f"""
    INSERT INTO agent_memories (id, namespace, agent_id, content) VALUES ('{MOVED}', 'home', 'ann', '服务器搬到地下室');
    INSERT INTO registered_tools (namespace, tool_id, name, description, endpoint_url)
    VALUES ('home', 'weather', '天气查询', '查询气温', 'https://weather.example.com');
    DELETE FROM index_queue;
"""


async def queued(database: Database) -> set[UUID]:
    async with database.everything.connection() as connection:
        return {row["item_id"] for row in await connection.fetch("SELECT item_id FROM index_queue")}


async def test_the_first_six_files_have_the_checksums_that_populated_databases_have_recorded(empty_url: str) -> None:
    connection = await connect(empty_url)
    await migrate(connection, FILES[:6])
    now = await recorded(connection)
    await connection.execute(ROWS)
    assert now == await recorded(connection)
    await connection.close(timeout=5)


async def test_an_upgrade_keeps_memories(upgraded: Database) -> None:
    memories = PostgresMemories(upgraded)
    found = await memories.get("home", [FERRY, CAT, OFFICE, TEA_AT_FOUR, TEA_AT_FIVE, OLD_CODE, CODE, BOIL], ALL, NOW)
    assert set(found) == {FERRY, CAT, TEA_AT_FIVE, CODE, BOIL}
    ferry = found[FERRY]
    assert (ferry.content, ferry.tags, ferry.importance) == ("The ferry leaves at nine.", ["travel", "ferry"], 0.1)
    assert (ferry.metadata, ferry.version) == ({"harbour": {"pier": 4}, "tide": None}, 3)
    assert (found[CAT].session_id, found[CODE].expires_at) == ("call", datetime(2036, 1, 7, tzinfo=UTC))
    newest = await memories.newest("home", MemoryFilter(agent_id="ann"), None, 3, NOW)
    assert [memory.memory_id for memory in newest] == [POUR, BOIL, CODE]
    assert await memories.count("home", ALL, NOW) == 7
    (match,) = await memories.text_search("home", "ferries", ALL, 5, NOW, queued_only=False)
    assert match.item_id == FERRY
    assert (await memories.add(ANN, NewMemory("Tea is at five."), NOW)).memory_id == TEA_AT_FIVE


async def test_an_upgrade_keeps_tools(upgraded: Database) -> None:
    tools = PostgresTools(upgraded)
    (tool,) = await tools.by_name("home", ToolFilter(), 5)
    assert (tool.id, tool.tool_id, tool.version, tool.required_capabilities) == (MAIL, "sendMail", 2, ["network"])
    assert tool.request_schema is not None
    assert tool.request_schema["properties"]["to"]["description"] == "The recipient."
    (match,) = await tools.text_search("home", "the recipient of a letter", ToolFilter(), 5, queued_only=False)
    assert match.item_id == MAIL


async def test_an_upgrade_keeps_files_with_the_order_of_their_chunks(upgraded: Database) -> None:
    assert await PostgresSources(upgraded).digests(ANN, "kitchen") == {"tea.py": b"\x01\x02"}
    contexts = await PostgresMemoryRows(upgraded, 2).contexts([BOIL, POUR], 100)
    assert [(one.offset, one.content) for one in contexts[BOIL].neighbours] == [(1, "def pour(): ...")]
    assert [(one.offset, one.content) for one in contexts[POUR].neighbours] == [(-1, "def boil(): ...")]


async def test_an_upgrade_keeps_what_points_are_made_of(upgraded: Database) -> None:
    rows = PostgresMemoryRows(upgraded, 2)
    states = await rows.states(ALL_ITEMS)
    assert set(states) == {FERRY, CAT, BOB, OFFICE, TEA_AT_FIVE, OLD_CODE, CODE, BOIL, POUR}
    assert states[FERRY] == (3, None)
    assert [one.content for one in (await rows.contexts([CAT], 100))[CAT].neighbours] == ["Bob does, at six."]


async def test_an_upgrade_keeps_vectors_and_their_count(upgraded: Database) -> None:
    embeddings = PostgresEmbeddings(upgraded)
    digest = NewMemory("Tea is at five.").content_hash
    assert {key: list(vector) for key, vector in (await embeddings.get("model", [digest])).items()} == {
        digest: [1.0, -2.0]
    }
    assert await embeddings.computed("model") == 7


async def test_an_upgrade_keeps_the_queue_and_a_requested_rebuild(upgraded: Database) -> None:
    queue = PostgresIndexQueue(upgraded)
    state = await queue.state()
    assert (state.depth, state.unclaimed, state.last_error) == ({"memory": 2, "tool": 1, "task": 0}, 1, "Broken")
    assert state.oldest == datetime(2026, 1, 9, 10, tzinfo=UTC)
    assert {claim.item_id for claim in await queue.claim(10, LEASE)} == {MAIL, BOIL}  # BOB is leased
    await queue.reclaim()
    positions = {claim.item_id: claim.former_positions for claim in await queue.claim(10, LEASE)}
    assert positions.keys() == {BOB, BOIL, MAIL}
    assert positions[BOB][0]["session_id"] == "other"
    assert await PostgresIndexLog(upgraded).rebuild_requested() == datetime(2026, 1, 9, 10, 4, tzinfo=UTC)


async def test_changes_after_an_upgrade_are_queued(upgraded: Database) -> None:
    memories, tools = PostgresMemories(upgraded), PostgresTools(upgraded)
    before = await queued(upgraded)
    added = await memories.add(ANN, NewMemory("The ferry leaves at ten.", supersedes=FERRY), NOW)
    mail = NewTool("sendMail", "Mail", "Sends letters and parcels.", "https://mail.example.com/send")
    assert (await tools.upsert("home", mail, NOW)).version == 3
    assert (await PostgresSources(upgraded).remove(ANN, "kitchen", ["tea.py"])).removed == 2
    assert await queued(upgraded) - before == {added.memory_id, FERRY, POUR}
    claimed = {claim.item_id: claim for claim in await PostgresIndexQueue(upgraded).claim(10, LEASE)}
    assert (claimed[MAIL].attempts, claimed[FERRY].attempts) == (1, 1)  # a change clears the failures before it


async def test_a_moved_message_records_its_former_position_after_an_upgrade(upgraded: Database) -> None:
    async with upgraded.everything.connection() as connection:
        await connection.execute("UPDATE agent_memories SET session_id = 'letter' WHERE id = $1", CAT)
    claims = {claim.item_id: claim for claim in await PostgresIndexQueue(upgraded).claim(10, LEASE)}
    assert [position["session_id"] for position in claims[CAT].former_positions] == ["call"]
    assert (await PostgresMemories(upgraded).current([CAT]))[CAT].version == 2


async def test_an_upgrade_finds_older_rows_in_other_languages_and_queues_none_of_them(empty_url: str) -> None:
    connection = await connect(empty_url)
    await migrate(connection, FILES[:6])
    await connection.execute(ROWS)
    await connection.execute(CHINESE_ROWS)
    await migrate(connection, FILES)
    await connection.close(timeout=5)
    database = Database(empty_url)
    found = await PostgresMemories(database).text_search("home", "服务器在哪里", ALL, 5, NOW, queued_only=False)
    tools = await PostgresTools(database).text_search("home", "天气", ToolFilter(), 5, queued_only=False)
    memory = (await PostgresMemories(database).current([MOVED]))[MOVED]
    assert [match.item_id for match in found] == [MOVED]
    assert (len(tools), memory.version, await queued(database)) == (1, 1, set())
    await database.close()
