"""Tools on a real Postgres."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from memos_mcp.domain.index import ALL_ITEMS, ItemState, Span
from memos_mcp.domain.tool import NewTool, ToolFilter
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.row_states import PostgresToolRows
from memos_mcp.postgres.tools import PostgresTools

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=1)
ALL = ToolFilter()
SCHEMA = {"type": "object", "properties": {"to": {"type": "string", "description": "recipient address"}}}
MAIL = NewTool("send_mail", "Send mail", "Sends a letter.", "https://x.test/mail", SCHEMA, {"type": "null"}, ["net"])


async def register(tools: PostgresTools, tool_id: str, *needs: str, name: str = "Tool", description: str = "d") -> UUID:
    new = NewTool(tool_id, name, description, "http://x", required_capabilities=needs)
    return (await tools.upsert("team", new, NOW)).id


async def test_a_tool_comes_back_exactly_as_it_was_registered(database: Database) -> None:
    tools = PostgresTools(database)
    done = await tools.upsert("team", MAIL, NOW)
    assert (done.outcome, done.version) == ("created", 1)
    tool = (await tools.get("team", [done.id], ALL))[done.id]
    assert (tool.tool_id, tool.name, tool.description, tool.endpoint_url) == (
        MAIL.tool_id,
        MAIL.name,
        MAIL.description,
        MAIL.endpoint_url,
    )
    assert (tool.request_schema, tool.response_schema) == (SCHEMA, {"type": "null"})
    assert (list(tool.required_capabilities), tool.namespace, tool.version) == (["net"], "team", 1)


async def test_only_a_registration_that_changes_something_is_a_new_version(database: Database) -> None:
    tools, queue = PostgresTools(database), PostgresIndexQueue(database)
    first = await tools.upsert("team", MAIL, NOW)
    await queue.finish(await queue.claim(10, LEASE))
    same = await tools.upsert("team", MAIL, NOW)
    assert (same.id, same.outcome, same.version) == (first.id, "unchanged", 1)
    assert await queue.claim(10, LEASE) == []
    changed = NewTool("send_mail", "Send mail", "Sends a letter.", "https://x.test/other", SCHEMA, None, ["net"])
    other = await tools.upsert("team", changed, NOW)
    assert (other.id, other.outcome, other.version) == (first.id, "updated", 2)
    assert len(await queue.claim(10, LEASE)) == 1
    assert await PostgresToolRows(database).states(ALL_ITEMS) == {first.id: ItemState(2)}


async def test_how_a_tool_is_called_comes_back_as_it_was_registered(database: Database) -> None:
    tools = PostgresTools(database)
    hints = {"readOnlyHint": True}
    new = NewTool("files.read", "Read", "Reads.", "mcp://files/read", source="files", auth="key", annotations=hints)
    done = await tools.upsert("team", new, NOW)
    [tool] = await tools.of_source("team", "files")
    assert (tool.id, tool.method, tool.auth, tool.source, tool.annotations) == (done.id, "POST", "key", "files", hints)
    put = NewTool("files.read", "Read", "Reads.", "http://x", method="PUT")
    assert (await tools.upsert("team", put, NOW)).outcome == "updated"
    assert await tools.of_source("team", "files") == []
    assert (await tools.get("team", [done.id], ALL))[done.id].method == "PUT"


async def test_an_older_schema_names_the_method(database: Database) -> None:
    tools = PostgresTools(database)
    await tools.upsert("team", NewTool("find", "Find", "Finds.", "http://x", {"x-method": "get"}), NOW)
    assert [tool.method for tool in await tools.every("team")] == ["GET"]


async def test_a_tool_that_returns_to_its_source_is_enabled_again_unless_an_operator_disabled_it(
    database: Database,
) -> None:
    tools = PostgresTools(database)
    news = [NewTool(f"files.{name}", name, "Does.", f"mcp://files/{name}", source="files") for name in "ab"]
    for new in news:
        await tools.upsert("team", new, NOW)
    assert await tools.set_enabled("team", ["files.b", "unknown"], enabled=False) == ["files.b"]
    assert await tools.mark_missing("team", ["files.a", "files.b"]) == ["files.a"]
    assert await tools.count("team", ALL) == 0
    outcomes = [(await tools.upsert("team", new, NOW)).outcome for new in news]
    assert outcomes == ["updated", "unchanged"]
    assert [(tool.tool_id, tool.enabled) for tool in await tools.every("team")] == [
        ("files.a", True),
        ("files.b", False),
    ]


async def test_a_deleted_tool_is_dropped_from_the_index(database: Database) -> None:
    tools, queue = PostgresTools(database), PostgresIndexQueue(database)
    done = await tools.upsert("team", MAIL, NOW)
    await queue.finish(await queue.claim(10, LEASE))
    assert await tools.delete("other", ["send_mail"]) == []
    assert await tools.delete("team", ["send_mail", "unknown"]) == ["send_mail"]
    assert [job.item_id for job in await queue.claim(10, LEASE)] == [done.id]
    assert await tools.current([done.id]) == {}


async def test_a_tool_id_is_unique_within_a_namespace(database: Database) -> None:
    tools = PostgresTools(database)
    ours, theirs = await tools.upsert("team", MAIL, NOW), await tools.upsert("other", MAIL, NOW)
    assert theirs.outcome == "created"
    assert list(await tools.get("team", [ours.id, theirs.id], ALL)) == [ours.id]


FILTERS = (
    (ALL, "abc"),
    (ToolFilter(required=[]), "abc"),
    (ToolFilter(required=["net"]), "bc"),
    (ToolFilter(required=["net", "disk"]), "c"),
    (ToolFilter(agent_has=[]), "a"),
    (ToolFilter(agent_has=["net", "more"]), "ab"),
    (ToolFilter(required=["net"], agent_has=["net"]), "b"),
)


async def test_every_way_of_reading_applies_the_whole_filter(database: Database) -> None:
    tools = PostgresTools(database)
    await register(tools, "a", name="Letter", description="mail a")
    await register(tools, "b", "net", name="letter", description="mail b")
    await register(tools, "c", "disk", "net", name="LETTER", description="mail c")
    await register(tools, "off", name="letter", description="mail off")
    async with database.everything.connection() as connection:
        await connection.execute("UPDATE registered_tools SET enabled = false WHERE tool_id = 'off'")
        await connection.execute("UPDATE registered_tools SET required_capabilities = NULL WHERE tool_id = 'a'")
        ids = [row["point_id"] for row in await connection.fetch("SELECT point_id FROM registered_tools")]
    every = {tool.id: tool.tool_id for tool in (await tools.current(ids)).values()}
    assert sorted(every.values()) == ["a", "b", "c"]
    for asked, expected in FILTERS:
        assert sorted(tool.tool_id for tool in (await tools.get("team", ids, asked)).values()) == list(expected)
        assert sorted(tool.tool_id for tool in await tools.by_name("team", asked, 10)) == list(expected)
        assert sorted(tool.tool_id for tool in await tools.named("team", ["LeTTer"], asked)) == list(expected)
        assert await tools.count("team", asked) == len(expected)
        for queued_only in (False, True):
            matches = await tools.text_search("team", "mails", asked, 10, queued_only=queued_only)
            assert sorted(every[match.item_id] for match in matches) == list(expected)


async def test_an_exact_id_comes_before_an_exact_name(database: Database) -> None:
    tools = PostgresTools(database)
    await register(tools, "zzz", name="MAIL")
    await register(tools, "aaa", name="mail")
    await register(tools, "mail", name="z")
    await register(tools, "Mail", name="y")
    named = await tools.named("team", ["mail"], ALL)
    assert [tool.tool_id for tool in named] == ["mail", "zzz", "aaa"]


async def test_a_listing_is_in_the_order_of_names(database: Database) -> None:
    tools = PostgresTools(database)
    for number, name in enumerate(["b", "A", "c"]):
        await register(tools, f"t{number}", name=name)
    assert [tool.name for tool in await tools.by_name("team", ALL, 2)] == ["A", "b"]


async def test_a_tool_is_found_by_the_words_of_its_name_description_and_parameters(database: Database) -> None:
    tools = PostgresTools(database)
    new = NewTool("getUserName-v2", "send_mail", "Sends a letter.", "http://x", SCHEMA)
    done = await tools.upsert("team", new, NOW)
    for text in ("send", "mails & ! (", "letters", "recipient", "getUserName", "user", "name"):
        matches = await tools.text_search("team", text, ALL, 10, queued_only=False)
        assert [(match.item_id, match.span) for match in matches] == [(done.id, Span(0, 0))]
        assert matches[0].score > 0


async def test_a_change_by_hand_is_queued(database: Database) -> None:
    tools, queue = PostgresTools(database), PostgresIndexQueue(database)
    done = await tools.upsert("team", MAIL, NOW)
    await queue.finish(await queue.claim(10, LEASE))
    for change in ("description = 'x'", "required_capabilities = '{x}'", "enabled = false"):
        async with database.everything.connection() as connection:
            await connection.execute(f"UPDATE registered_tools SET {change}")
        due = await queue.claim(10, LEASE)
        assert [one.item_id for one in due] == [done.id]
        await queue.finish(due)


async def test_a_tool_that_was_switched_off_stays_off_when_it_is_registered_again(database: Database) -> None:
    tools = PostgresTools(database)
    done = await tools.upsert("team", MAIL, NOW)
    async with database.everything.connection() as connection:
        await connection.execute("UPDATE registered_tools SET enabled = false")
    assert (await tools.upsert("team", MAIL, NOW)).outcome == "unchanged"
    assert await tools.get("team", [done.id], ALL) == {}
    assert await PostgresToolRows(database).states(ALL_ITEMS) == {}


async def test_a_row_inserted_by_hand_in_the_plain_columns_is_a_tool(database: Database) -> None:
    tools = PostgresTools(database)
    async with database.everything.connection() as connection:
        await connection.execute(
            "INSERT INTO registered_tools (tool_id, name, description, endpoint_url) VALUES ('t', 'n', 'd', 'http://x')"
        )
    tool = (await tools.named("default", ["t"], ToolFilter(agent_has=[])))[0]
    assert (tool.version, list(tool.required_capabilities), tool.request_schema) == (1, [], None)
