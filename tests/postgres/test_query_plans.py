"""The hot statements use the indexes that are made for them, also on tables that were never analyzed."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from hashlib import md5
from uuid import UUID

import pytest

from memos_mcp.domain.index import SequenceRange
from memos_mcp.domain.index_queue import Claim
from memos_mcp.domain.memory import ListPosition, MemoryFilter
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolFilter
from memos_mcp.postgres import sources
from memos_mcp.postgres.callers_role import prepare_role
from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.experience import PostgresExperience
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.memory_changes import PostgresMemoryChanges
from memos_mcp.postgres.row_states import PostgresMemoryRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from tests.conftest import MARK_LEAKPROOF, copy_of
from tests.postgres.query_plans import FILL, Explaining, Plan

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
AFTER = ListPosition(NOW, 1_000)
ALL = MemoryFilter()
ALL_TOOLS = ToolFilter()
MINUTE = timedelta(minutes=1)
IDS = [UUID(md5(str(number).encode()).hexdigest()) for number in range(1, 65)]
CLAIMS = [Claim("memory", item_id, 1, 1) for item_id in IDS]
ANN = Scope("team", "agent 1")

Ask = Callable[[Explaining], Awaitable[object]]


@pytest.fixture(scope="module")
async def unanalyzed(server_url: str, template: str) -> AsyncIterator[Connection]:
    async with copy_of(server_url, template) as url:
        connection = await connect(url)
        await connection.execute(FILL + MARK_LEAKPROOF)
        yield connection
        await connection.close(timeout=5)


@pytest.fixture(scope="module")
async def analyzed(server_url: str, template: str) -> AsyncIterator[Connection]:
    async with copy_of(server_url, template) as url:
        connection = await connect(url)
        await connection.execute(FILL + MARK_LEAKPROOF)
        await connection.execute("VACUUM ANALYZE")
        yield connection
        await connection.close(timeout=5)


async def explain(connection: Connection, ask: Ask, callers_role: str | None = None) -> list[Plan]:
    """Return the plan of each statement that is sent; every filter must have been inlined."""
    explaining = Explaining(connection, callers_role)
    await ask(explaining)
    await explaining._lender.endings.wait()
    assert explaining.plans
    for plan in explaining.plans:
        assert "_matches" not in plan.text
    return explaining.plans


def get_memories(database: Explaining) -> Awaitable[object]:
    return PostgresMemories(database).get("team", IDS, ALL, NOW)


def ids_between(database: Explaining) -> Awaitable[object]:
    low, high = UUID("12345678" + "0" * 24), UUID("12345678" + "f" * 24)
    return PostgresMemoryChanges(database).ids_between("team", low, high, 6)


def newest(filter: MemoryFilter, after: ListPosition | None = None) -> Ask:
    return lambda database: PostgresMemories(database).newest("team", filter, after, 10, NOW)


def count(filter: MemoryFilter) -> Ask:
    return lambda database: PostgresMemories(database).count("team", filter, NOW)


def search_memories(filter: MemoryFilter = ALL, *, queued_only: bool = False) -> Ask:
    return lambda database: PostgresMemories(database).text_search(
        "team", "word7 missing", filter, 10, NOW, queued_only=queued_only
    )


def definitions(database: Explaining) -> Awaitable[object]:
    return PostgresMemories(database).defined_in("team", [("source 1", "name 7"), ("source 1", "missing")], NOW)


def current_memories(database: Explaining) -> Awaitable[object]:
    return PostgresMemories(database).current(IDS)


def neighbours(database: Explaining) -> Awaitable[object]:
    return PostgresMemoryRows(database, 2).contexts(IDS, 100)


def around(database: Explaining) -> Awaitable[object]:
    position = {"namespace": "team", "session_id": "session 9", "occurred_at": NOW.isoformat(), "sequence": 1}
    return PostgresMemoryRows(database, 2).around(IDS, [position])


def states_of_a_range(database: Explaining) -> Awaitable[object]:
    return PostgresMemoryRows(database, 2).states(SequenceRange(10, 20))


def get_tools(database: Explaining) -> Awaitable[object]:
    return PostgresTools(database).get("team 1", IDS, ALL_TOOLS)


def current_tools(database: Explaining) -> Awaitable[object]:
    return PostgresTools(database).current(IDS)


def search_tools(*, queued_only: bool) -> Ask:
    return lambda database: PostgresTools(database).text_search(
        "team 1", "job9 missing", ALL_TOOLS, 10, queued_only=queued_only
    )


def of_team(statement: str, *arguments: object) -> Ask:
    async def ask(database: Explaining) -> None:
        async with database.within("team").transaction() as connection:
            await connection.fetch(statement, *arguments)

    return ask


held = of_team(sources._CHUNKS, "team", "agent 1", "source 1", ["path/1", "path/2"], NOW)
delete_chunks = of_team(sources._DELETE_MEMORIES, IDS[:9])
remaining_sources = of_team(sources._REMAINING, IDS[:9])


NEIGHBOUR_INDEXES = {"agent_memories_pkey", "agent_memories_session", "ingested_files_memories"}
MEMORIES = {
    "get": (get_memories, {"agent_memories_pkey"}),
    "newest": (newest(ALL), {"agent_memories_newest"}),
    "newest on the next page": (newest(ALL, AFTER), {"agent_memories_newest"}),
    "newest of a session": (newest(MemoryFilter(session_id="session 9")), {"agent_memories_session"}),
    "newest with a rare tag": (newest(MemoryFilter(tags=["tag 7"])), {"agent_memories_tags"}),
    "newest with rare metadata": (newest(MemoryFilter(metadata={"ticket": 7})), {"agent_memories_metadata"}),
    "newest of a source": (newest(MemoryFilter(metadata={"source": "app"})), {"agent_memories_metadata"}),
    "count": (count(ALL), {"agent_memories_newest"}),
    "count of a session": (count(MemoryFilter(session_id="session 9")), {"agent_memories_session"}),
    "text search": (search_memories(), {"agent_memories_search"}),
    "text search in a session": (
        search_memories(MemoryFilter(session_id="session 9")),
        {"agent_memories_search", "agent_memories_session"},
    ),
    "definitions": (definitions, {"agent_memories_defines"}),
    "current": (current_memories, {"agent_memories_pkey"}),
    "neighbours": (neighbours, NEIGHBOUR_INDEXES),
    "around": (around, NEIGHBOUR_INDEXES | {"index_queue_pkey"}),
    "states of a range": (states_of_a_range, NEIGHBOUR_INDEXES | {"agent_memories_sequence"}),
    "digest of a range": (
        lambda database: PostgresMemoryRows(database, 2).digest(SequenceRange(10, 20)),
        NEIGHBOUR_INDEXES | {"agent_memories_sequence"},
    ),
    "end of a range": (
        lambda database: PostgresMemoryRows(database, 2).range_end(10, 5),
        {"agent_memories_sequence"},
    ),
}
TOOLS = {
    "get": (get_tools, {"registered_tools_point_id_key"}),
    "named": (
        lambda database: PostgresTools(database).named("team 1", ["tool 9"], ALL_TOOLS),
        {"idx_tools_any_case", "registered_tools_namespace_tool_id_key"},
    ),
    "by name": (
        lambda database: PostgresTools(database).by_name("team 1", ALL_TOOLS, 10),
        {"idx_tools_any_case"},
    ),
    "count": (lambda database: PostgresTools(database).count("team 1", ALL_TOOLS), {"idx_tools_any_case"}),
    "count with a capability": (
        lambda database: PostgresTools(database).count("team 1", ToolFilter(required=["capability 9"])),
        {"idx_tools_any_case", "idx_tools_capabilities"},
    ),
    "text search": (search_tools(queued_only=False), {"idx_tools_any_case", "idx_tools_search"}),
    "queued": (search_tools(queued_only=True), {"index_queue_pkey", "registered_tools_point_id_key"}),
    "current": (current_tools, {"registered_tools_point_id_key"}),
}
OTHERS = {
    "claim": (
        lambda database: PostgresIndexQueue(database).claim(64, MINUTE),
        {"index_queue_order", "index_queue_pkey"},
    ),
    "finish": (lambda database: PostgresIndexQueue(database).finish(CLAIMS), {"index_queue_pkey"}),
    "fail": (lambda database: PostgresIndexQueue(database).fail(CLAIMS, "Broken", MINUTE), {"index_queue_pkey"}),
    "release": (lambda database: PostgresIndexQueue(database).release(CLAIMS), {"index_queue_pkey"}),
    "queued ids": (lambda database: PostgresIndexQueue(database).queued_ids("memory", IDS), {"index_queue_pkey"}),
    "embeddings": (
        lambda database: PostgresEmbeddings(database).get("model", [b"1" * 32, b"2" * 32]),
        {"embeddings_pkey"},
    ),
    "digests": (lambda database: PostgresSources(database).digests(ANN, "source 1"), {"ingested_files_once"}),
    "held": (held, {"agent_memories_pkey", "ingested_files_once"}),
    "delete": (delete_chunks, {"agent_memories_pkey", "ingested_files_memories"}),
    "remaining": (remaining_sources, {"agent_memories_pkey", "ingested_files_memories"}),
}  # fmt: skip


ENGINES = {"current", "neighbours", "around", "states of a range", "digest of a range", "end of a range"}
CALLERS: dict[str, Ask] = {
    **{f"memories: {name}": ask for name, (ask, _) in MEMORIES.items() if name not in ENGINES},
    **{f"tools: {name}": ask for name, (ask, _) in TOOLS.items() if name not in ENGINES},
    "memories: queued": search_memories(queued_only=True),
    "ids between": ids_between,
    "reports": lambda database: PostgresExperience(database).reports("team 1", IDS),
    "uses": lambda database: PostgresExperience(database).uses("team 1", IDS),
    "digests": OTHERS["digests"][0],
    "held": held,
    "delete": delete_chunks,
    "remaining": remaining_sources,
}  # fmt: skip


@pytest.mark.parametrize(("ask", "indexes"), MEMORIES.values(), ids=MEMORIES)
async def test_memories_are_read_by_the_index_that_fits_the_filter(
    analyzed: Connection, ask: Ask, indexes: set[str]
) -> None:
    (plan,) = await explain(analyzed, ask)
    assert (plan.scanned, plan.indexes) == (set(), indexes)


@pytest.mark.parametrize(("ask", "indexes"), TOOLS.values(), ids=TOOLS)
async def test_tools_are_read_by_the_index_that_fits_the_question(
    analyzed: Connection, ask: Ask, indexes: set[str]
) -> None:
    (plan,) = await explain(analyzed, ask)
    assert (plan.scanned, plan.indexes) == (set(), indexes)


@pytest.mark.parametrize("state", ["analyzed", "unanalyzed"])
async def test_the_votes_of_past_tasks_are_read_by_their_keys(
    analyzed: Connection, unanalyzed: Connection, state: str
) -> None:
    connection = {"analyzed": analyzed, "unanalyzed": unanalyzed}[state]
    (plan,) = await explain(connection, lambda database: PostgresExperience(database).reports("team 1", IDS))
    assert (plan.scanned, plan.indexes) == (set(), {"tool_outcomes_task", "registered_tools_namespace_tool_id_key"})
    (plan,) = await explain(connection, lambda database: PostgresExperience(database).uses("team 1", IDS))
    assert (plan.scanned, plan.indexes) == (set(), {"tool_outcomes_tool", "registered_tools_point_id_key"})


@pytest.mark.parametrize(("ask", "indexes"), OTHERS.values(), ids=OTHERS)
async def test_the_queue_embeddings_and_files_are_read_by_their_keys(
    analyzed: Connection, ask: Ask, indexes: set[str]
) -> None:
    for plan in await explain(analyzed, ask):
        assert (plan.scanned, plan.indexes) == (set(), indexes)


@pytest.mark.parametrize("state", ["analyzed", "unanalyzed"])
async def test_row_level_security_changes_no_plan_of_a_statement_that_serves_a_caller(
    analyzed: Connection, unanalyzed: Connection, callers_role: str, state: str
) -> None:
    connection = {"analyzed": analyzed, "unanalyzed": unanalyzed}[state]
    await prepare_role(connection, callers_role)
    for name, ask in CALLERS.items():
        before = await explain(connection, ask)
        after = await explain(connection, ask, callers_role)
        assert [plan.indexes for plan in after] == [plan.indexes for plan in before], name
        assert [plan.scanned for plan in after] == [plan.scanned for plan in before], name


async def test_a_page_of_the_newest_memories_is_read_in_order_without_a_sort(analyzed: Connection) -> None:
    for asked in (ALL, MemoryFilter(session_id="session 9")):
        (plan,) = await explain(analyzed, newest(asked, AFTER))
        assert plan.kinds == {"Limit", "Index Scan"}


async def test_a_namespace_is_counted_without_reading_its_rows(analyzed: Connection) -> None:
    (plan,) = await explain(analyzed, count(ALL))
    assert plan.kinds == {"Aggregate", "Index Only Scan"}


@pytest.mark.parametrize("state", ["analyzed", "unanalyzed"])
@pytest.mark.parametrize("empty", [False, True], ids=["queue with rows", "empty queue"])
@pytest.mark.parametrize(
    ("ask", "table", "key"),
    [
        (search_memories(queued_only=True), "agent_memories", "agent_memories_pkey"),
        (search_tools(queued_only=True), "registered_tools", "registered_tools_point_id_key"),
    ],
    ids=["memories", "tools"],
)
async def test_a_search_of_queued_rows_reads_the_queue_and_then_each_row_by_id(
    analyzed: Connection, unanalyzed: Connection, state: str, ask: Ask, table: str, key: str, *, empty: bool
) -> None:
    connection = {"analyzed": analyzed, "unanalyzed": unanalyzed}[state]
    await connection.execute("BEGIN")
    try:
        if empty:
            await connection.execute("TRUNCATE index_queue")
        (plan,) = await explain(connection, ask)
    finally:
        await connection.execute("ROLLBACK")
    # Most of the queue is memories, so reading it as a whole is right for them.
    assert plan.scanned <= {"index_queue"}
    assert plan.indexes - {"index_queue_pkey", "index_queue_order"} == {key}
    assert [node["Node Type"] for node in plan.nodes if node.get("Relation Name") == table] == ["Index Scan"]


@pytest.mark.parametrize(
    ("ask", "indexes"),
    [
        (get_memories, {"agent_memories_pkey"}),
        (current_memories, {"agent_memories_pkey"}),
        (definitions, {"agent_memories_defines"}),
        (ids_between, {"agent_memories_pkey", "forgotten_memories_pkey", "memory_events_pkey"}),
        (neighbours, NEIGHBOUR_INDEXES),
        (around, NEIGHBOUR_INDEXES | {"index_queue_pkey"}),
        (get_tools, {"registered_tools_point_id_key"}),
        (current_tools, {"registered_tools_point_id_key"}),
        (held, {"agent_memories_pkey", "ingested_files_once"}),
        (delete_chunks, {"agent_memories_pkey", "ingested_files_memories"}),
        (remaining_sources, {"agent_memories_pkey", "ingested_files_memories"}),
    ],
    ids=[
        "get",
        "current",
        "definitions",
        "between",
        "neighbours",
        "around",
        "get tools",
        "current tools",
        "held",
        "delete",
        "remaining",
    ],
)
async def test_rows_are_read_by_id_before_the_first_analyze(
    unanalyzed: Connection, ask: Ask, indexes: set[str]
) -> None:
    (plan,) = await explain(unanalyzed, ask)
    assert (plan.scanned, plan.indexes) == (set(), indexes)
