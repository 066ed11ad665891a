"""Row-level security keeps namespaces apart even where a statement forgets to."""

import ast
import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import anyio
import pytest

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres import audit, experience, memories, memory_changes, sources, tools
from memos_mcp.postgres.callers_role import LEAKPROOF, RoleFault, count_unused_indexes
from memos_mcp.postgres.connection import Connection, connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.tools import PostgresTools
from tests.conftest import MARK_LEAKPROOF

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 2, tzinfo=UTC)
MINE, THEIRS = Scope("mine", "ann"), Scope("theirs", "bob")

TABLES_WITH_NAMESPACE = """
    SELECT relname, relrowsecurity
      FROM pg_class
      JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'namespace'
     WHERE relkind = 'r'
       AND relnamespace = current_schema()::regnamespace
       AND (has_any_column_privilege($1, pg_class.oid, 'SELECT, INSERT, UPDATE')
            OR has_table_privilege($1, pg_class.oid, 'DELETE'))
"""
ENGINES_ONLY = """
    SELECT relname
      FROM pg_class
     WHERE relkind = 'r'
       AND relnamespace = current_schema()::regnamespace
       AND has_any_column_privilege($1, oid, 'SELECT, INSERT, UPDATE')
     ORDER BY relname
"""


@pytest.fixture
async def walled(database_url: str, callers_role: str) -> AsyncIterator[Database]:
    """A database behind row-level security, with one connection, which all uses share."""
    database = Database(database_url, pool_size=1, callers_role=callers_role)
    yield database
    await database.close()


async def remember(database: Database, scope: Scope, content: str) -> UUID:
    return (await PostgresMemories(database).add(scope, NewMemory(content), NOW)).memory_id


async def contents(connection: Connection) -> list[str]:
    return [row["content"] for row in await connection.fetch("SELECT content FROM agent_memories ORDER BY content")]


def test_the_stores_of_callers_use_everything_only_for_the_engine() -> None:
    used = set()
    for store in (audit, experience, memories, memory_changes, sources, tools):
        for method in ast.walk(ast.parse(inspect.getsource(store))):
            if isinstance(method, ast.AsyncFunctionDef):
                names = {node.attr for node in ast.walk(method) if isinstance(node, ast.Attribute)}
                used |= {f"{store.__name__.rpartition('.')[2]}.{method.name}"} if "everything" in names else set()
    assert used == {
        "audit.add",  # the calls of all namespaces at once; callers never read them, so their role has no grant
        "audit.find",  # the operator's command
        "audit.prune",  # the limit of the records' age
        "experience.current",  # the rows of what is to be indexed, of any namespace
        "memories.current",
        "tools.current",
        "memory_changes.erase_vectors",  # of texts, which have no namespace
        "memory_changes.prune",  # the limit of the history's age
        "tools.namespaces_of",  # the registration of a source's tools, for all that have it
    }


async def test_a_statement_that_forgets_the_namespace_reads_only_the_callers(walled: Database) -> None:
    await remember(walled, MINE, "mine")
    theirs = await remember(walled, THEIRS, "theirs")
    for access in (walled.within("mine").connection, walled.within("mine").lookup, walled.within("mine").transaction):
        async with access() as connection:
            assert await contents(connection) == ["mine"]
            assert await connection.fetch("SELECT FROM agent_memories WHERE id = $1", theirs) == []
            assert await connection.fetchval("SELECT count(*) FROM memory_events") == 1
    async with walled.everything.connection() as connection:
        assert await contents(connection) == ["mine", "theirs"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE agent_memories SET importance = 1 WHERE id = $1",
        "DELETE FROM agent_memories WHERE id = $1",
        "UPDATE memory_events SET former = '{}' WHERE memory_id = $1",
    ],
)
async def test_a_statement_that_forgets_the_namespace_changes_no_row_of_another(
    walled: Database, statement: str
) -> None:
    theirs = await remember(walled, THEIRS, "theirs")
    read = (
        "SELECT to_jsonb(memory) || to_jsonb(event) FROM agent_memories AS memory JOIN memory_events AS event ON true"
    )
    async with walled.everything.connection() as connection:
        before = await connection.fetch(read)
    async with walled.within("mine").connection() as connection:
        assert (await connection.execute(statement, theirs)).endswith(" 0")
    async with walled.everything.connection() as connection:
        assert await connection.fetch(read) == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('theirs', 'ann', 'planted')",
        "UPDATE agent_memories SET namespace = 'theirs'",
        "INSERT INTO registered_tools VALUES (1, 'x', 'x', 'x', 'http://x', NULL, NULL, NULL, now(), now(), 'theirs')",
        "INSERT INTO memory_events VALUES (gen_random_uuid(), DEFAULT, 'theirs', 'stored', 'ann', '', '', '', now())",
        "INSERT INTO past_tasks (id, namespace, task, created_at) VALUES (gen_random_uuid(), 'theirs', 'x', now())",
        "INSERT INTO ingested_files VALUES ('theirs', 'ann', 'app', 'x', '', '{}', now())",
        "INSERT INTO forgotten_memories VALUES (gen_random_uuid(), 'theirs', NULL, now(), '{}')",
    ],
)
async def test_no_statement_puts_a_row_into_another_namespace(walled: Database, statement: str) -> None:
    await remember(walled, MINE, "mine")
    with pytest.raises(StoreUnavailable) as caught:
        async with walled.within("mine").connection() as connection:
            await connection.execute(statement)
    assert "row-level security" in str(caught.value.__cause__)


async def test_a_transaction_that_loses_its_namespace_sees_nothing(walled: Database) -> None:
    await remember(walled, MINE, "mine")
    for lost in ("RESET memos.namespace", "SET LOCAL memos.namespace = ''"):
        async with walled.within("mine").transaction() as connection:
            await connection.execute(lost)
            assert await contents(connection) == []


async def test_the_namespace_ends_with_the_transaction(walled: Database) -> None:
    await remember(walled, MINE, "mine")
    state = "SELECT (current_user = session_user, current_setting('memos.namespace', true))::text"

    async def use(*, fail: bool) -> None:
        async with walled.within("mine").transaction() as connection:
            await connection.execute("SAVEPOINT nested; SET LOCAL memos.namespace = 'theirs'; ROLLBACK TO nested")
            assert await contents(connection) == ["mine"]
            if fail:
                await connection.execute("SELECT 1 / 0")

    await use(fail=False)
    with pytest.raises(Exception, match="value"):
        await use(fail=True)
    with anyio.move_on_after(0.05):
        async with walled.within("mine").connection() as connection:
            await connection.execute("SELECT pg_sleep(60)")
    async with walled.everything.connection() as connection:
        assert await connection.fetchval(state) in ("(t,)", '(t,"")')
    async with walled.within("theirs").connection() as connection:
        assert await contents(connection) == []


async def test_two_callers_on_one_connection_see_their_own_rows(walled: Database) -> None:
    for scope in (MINE, THEIRS):
        await remember(walled, scope, scope.namespace)
    seen: list[list[str]] = []

    async def read(namespace: str) -> None:
        for _ in range(20):
            async with walled.within(namespace).lookup() as connection:
                assert await contents(connection) == [namespace]
            async with walled.within(namespace).connection() as connection:
                seen.append(await contents(connection))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, "mine")
        tasks.start_soon(read, "theirs")
    assert sorted(seen) == [["mine"]] * 20 + [["theirs"]] * 20


async def test_a_namespace_may_have_any_name(walled: Database) -> None:
    for name in ("'; RESET ROLE; --", "\\", "Zürich 東京", "a" * 255):
        await remember(walled, Scope(name, "ann"), name)
        async with walled.within(name).connection() as connection:
            assert await contents(connection) == [name]


async def test_the_role_has_nothing_but_what_serving_takes(walled: Database, callers_role: str) -> None:
    async with walled.everything.connection() as connection:
        readable = {row["relname"] for row in await connection.fetch(ENGINES_ONLY, callers_role)}
        secured = await connection.fetch(TABLES_WITH_NAMESPACE, callers_role)
    assert readable - {row["relname"] for row in secured} == {"embeddings", "index_queue"}
    assert secured
    assert all(row["relrowsecurity"] for row in secured)
    for hidden in (
        "SELECT former_positions FROM index_queue",
        "DELETE FROM index_queue",
        "SELECT report FROM engines",
        "DELETE FROM memory_events",
        "SELECT name FROM schema_migrations",
    ):
        with pytest.raises(StoreUnavailable):
            async with walled.within("mine").connection() as connection:
                await connection.execute(hidden)


async def test_a_callers_write_is_queued_although_its_role_cannot_write_to_the_queue(walled: Database) -> None:
    memory_id = await remember(walled, MINE, "mine")
    tool = NewTool(tool_id="t", name="T", description="Does it", endpoint_url="http://x")
    tool_id = (await PostgresTools(walled).upsert("mine", tool, NOW)).id
    async with walled.everything.connection() as connection:
        queued = await connection.fetch("SELECT item_id FROM index_queue")
    assert {row["item_id"] for row in queued} == {memory_id, tool_id}


async def test_a_caller_that_only_reads_does_not_wait_for_its_commit(walled: Database) -> None:
    await remember(walled, MINE, "mine")
    states = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    for access in (walled.within("mine").reading, walled.within("mine").lookup):
        async with access() as connection:
            assert await contents(connection) == ["mine"]
        assert walled._lender.endings._running
        await walled._lender.endings.wait()
        async with walled.everything.connection() as connection:
            assert "idle in transaction" not in {row["state"] for row in await connection.fetch(states)}
    await walled.close()
    assert not walled._lender.endings._running


async def test_operators_that_keep_statements_from_an_index_are_counted(walled: Database) -> None:
    async with walled.everything.transaction() as connection:
        assert await count_unused_indexes(connection) == len(LEAKPROOF)
        await connection.execute(MARK_LEAKPROOF)
        assert await count_unused_indexes(connection) == 0
        await connection.execute("ROLLBACK; BEGIN")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (None, "does not exist"),
        ("SUPERUSER", "is a superuser or has BYPASSRLS"),
        ("BYPASSRLS", "is a superuser or has BYPASSRLS"),
        ("IN ROLE CURRENT_USER", "is a superuser or has BYPASSRLS|has the rights of the tables' owner"),
    ],
)
async def test_a_role_that_would_not_be_confined_is_refused(
    database_url: str, attributes: str | None, reason: str
) -> None:
    role = f"memos_fault_{uuid4().hex}"
    admin = await connect(database_url)
    if attributes is not None:
        await admin.execute(f"CREATE ROLE {role} {attributes}")
    database = Database(database_url, callers_role=role)
    try:
        with pytest.raises(RoleFault, match=reason):
            await remember(database, MINE, "mine")
    finally:
        await database.close()
        await admin.execute(f"DROP ROLE IF EXISTS {role}")
        await admin.close(timeout=5)


async def test_a_login_without_special_rights_serves_behind_walls(empty_url: str, callers_role: str) -> None:
    """The login owns the database and may act as the role; a role of its own rights that is not granted is refused."""
    login, stranger = f"memos_login_{uuid4().hex}", f"memos_stranger_{uuid4().hex}"
    admin = await connect(empty_url)
    name = await admin.fetchval("SELECT current_database()")
    await admin.execute(
        f"CREATE ROLE {login} LOGIN; CREATE ROLE {stranger} NOLOGIN; GRANT {callers_role} TO {login};"
        f"ALTER DATABASE {name} OWNER TO {login}; ALTER SCHEMA public OWNER TO {login}"
    )
    url = empty_url.replace("postgres@", f"{login}@", 1).replace("user=postgres", f"user={login}")
    database, refused = Database(url, callers_role=callers_role), Database(url, callers_role=stranger)
    try:
        await remember(database, MINE, "mine")
        async with database.everything.connection() as connection:
            assert await connection.fetchval("SELECT session_user") == login
        async with database.within("theirs").connection() as connection:
            assert await contents(connection) == []
        with pytest.raises(RoleFault, match="is not granted to the login"):
            await remember(refused, MINE, "mine")
    finally:
        await database.close()
        await refused.close()
        await admin.execute(
            f"ALTER DATABASE {name} OWNER TO CURRENT_USER; REASSIGN OWNED BY {login} TO CURRENT_USER;"
            f"DROP OWNED BY {login}; DROP ROLE {login}; DROP ROLE {stranger}"
        )
        await admin.close(timeout=5)


async def test_a_login_from_which_the_rows_are_hidden_is_refused(database_url: str) -> None:
    login = f"memos_login_{uuid4().hex}"
    admin = await connect(database_url)
    await admin.execute(f"CREATE ROLE {login} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {login}")
    url = database_url.replace("postgres@", f"{login}@", 1).replace("user=postgres", f"user={login}")
    database = Database(url)
    try:
        with pytest.raises(RoleFault, match="does not own the tables"):
            await database.server_version()
    finally:
        await database.close()
        await admin.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")
        await admin.close(timeout=5)
