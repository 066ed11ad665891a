"""Sources of tools on a real Postgres: what a server lists is what the record has."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolFilter
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.services.tool_sources import SourceReport, ToolSources, check_source, listed_tools, new_tool
from memos_mcp.tool_calling.tool_servers import ListedTool, ServerDown

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
OBJECT = {"type": "object"}
READ = ListedTool("read", "Read a file", "Return the text of a file.", OBJECT, OBJECT, {"readOnlyHint": True})
WRITE = ListedTool("write/now", None, None, {"type": "object", "properties": {"text": {"type": "string"}}})


class Lister:
    """A server with these tools."""

    def __init__(self, *tools: ListedTool) -> None:
        self.tools = tools

    async def list_tools(self, server: str) -> Sequence[ListedTool]:
        if not self.tools:
            raise ServerDown(f"{server} is away")
        return self.tools


@pytest.fixture
def store(database: Database) -> PostgresTools:
    return PostgresTools(database)


@pytest.fixture
def sources(store: PostgresTools) -> ToolSources:
    return ToolSources(store, lambda: datetime(2026, 5, 1, tzinfo=UTC))


async def update(sources: ToolSources, *tools: ListedTool) -> SourceReport:
    return await sources.update(SCOPE, "files", [new_tool("files", tool) for tool in tools])


async def test_a_listed_tool_is_registered_as_its_server_describes_it(sources: ToolSources) -> None:
    report = await update(sources, READ, WRITE)
    assert report == SourceReport(added=["files.read", "files.write/now"])
    read, write = await sources.of_source(SCOPE, "files")
    assert (read.name, read.description, read.endpoint_url) == (READ.title, READ.description, "mcp://files/read")
    assert (read.request_schema, read.response_schema, read.annotations) == (OBJECT, OBJECT, READ.annotations)
    assert (read.source, read.method, read.auth) == ("files", "POST", None)
    assert (write.name, write.endpoint_url) == ("write/now", "mcp://files/write%2Fnow")
    assert write.description == "write/now, a tool of the MCP server files that does not describe itself."


async def test_an_update_reports_what_it_changed(sources: ToolSources) -> None:
    await update(sources, READ, WRITE)
    assert await update(sources, READ, WRITE) == SourceReport(unchanged=["files.read", "files.write/now"])
    other = replace(READ, description="Return a file.")
    third = replace(WRITE, name="append")
    assert await update(sources, other, third) == SourceReport(
        added=["files.append"], updated=["files.read"], disabled=["files.write/now"]
    )


async def test_a_tool_that_its_server_no_longer_lists_is_disabled_until_it_does(
    sources: ToolSources, store: PostgresTools
) -> None:
    await update(sources, READ, WRITE)
    await update(sources, READ)
    assert await store.named("here", ["files.write/now"], ToolFilter()) == []
    assert (await update(sources, READ)).disabled == []
    assert (await update(sources, READ, WRITE)).updated == ["files.write/now"]
    assert len(await store.named("here", ["files.write/now"], ToolFilter())) == 1


async def test_a_tool_that_an_operator_disabled_stays_so(sources: ToolSources) -> None:
    await update(sources, READ, WRITE)
    assert await sources.set_enabled(SCOPE, ["files.read", "nothing"], enabled=False) == ["files.read"]
    await update(sources, WRITE)
    await update(sources, READ, WRITE)
    assert [tool.enabled for tool in await sources.of_source(SCOPE, "files")] == [False, True]
    await sources.set_enabled(SCOPE, ["files.read"], enabled=True)
    assert [tool.enabled for tool in await sources.every(SCOPE)] == [True, True]


async def test_a_preview_reports_the_same_and_changes_nothing(sources: ToolSources) -> None:
    await update(sources, READ, WRITE)
    tools = [new_tool("files", tool) for tool in (replace(READ, title="Read"), replace(WRITE, name="append"))]
    preview = await sources.preview(SCOPE, "files", tools)
    assert {tool.tool_id for tool in await sources.every(SCOPE)} == {"files.read", "files.write/now"}
    assert preview == await sources.update(SCOPE, "files", tools)
    assert (await sources.preview(SCOPE, "files", tools)).unchanged == ["files.read", "files.append"]


async def test_a_tool_that_cannot_be_registered_is_reported_and_the_others_are_registered(
    sources: ToolSources, store: PostgresTools
) -> None:
    await store.upsert("here", NewTool("files.mine", "Mine", "of an agent", "https://x.example"), datetime.now(UTC))
    report = await update(
        sources,
        READ,
        replace(READ, title="again"),
        replace(READ, name="long", description="x" * 5_000),
        replace(READ, name="odd", input_schema={"type": "object", "properties": 5}),
        replace(READ, name="mine"),
        WRITE,
    )
    assert report.added == ["files.read", "files.write/now"]
    assert list(report.refused) == ["files.read", "files.long", "files.odd", "files.mine"]
    assert "listed twice" in report.refused["files.read"]
    assert "4,000" in report.refused["files.long"]
    assert "not JSON Schema" in report.refused["files.odd"]
    assert "another source" in report.refused["files.mine"]
    assert [tool.endpoint_url for tool in await sources.every(SCOPE) if tool.source is None] == ["https://x.example"]


async def test_a_registered_tool_whose_new_form_is_refused_is_kept(sources: ToolSources) -> None:
    await update(sources, READ)
    report = await update(sources, replace(READ, description="x" * 5_000))
    assert (list(report.refused), report.disabled) == (["files.read"], [])
    assert [tool.description for tool in await sources.every(SCOPE)] == [READ.description]


async def test_a_removed_source_leaves_no_tool_and_touches_no_other(sources: ToolSources) -> None:
    await update(sources, READ, WRITE)
    await update(sources, READ)
    await sources.update(SCOPE, "web", [new_tool("web", READ)])
    await sources.update(Scope("there", "x"), "files", [new_tool("files", READ)])
    assert sorted(await sources.remove(SCOPE, "files")) == ["files.read", "files.write/now"]
    assert [tool.tool_id for tool in await sources.every(SCOPE)] == ["web.read"]
    assert await sources.namespaces_of("files") == ["there"]


async def test_a_server_is_followed_in_every_namespace_that_has_it(sources: ToolSources) -> None:
    there = Scope("there", "x")
    for scope in (SCOPE, there):
        await sources.update(scope, "files", [new_tool("files", READ)])
    await sources.sync_everywhere(Lister(WRITE), "files")
    for scope in (SCOPE, there):
        assert [(tool.tool_id, tool.enabled) for tool in await sources.every(scope)] == [
            ("files.read", False),
            ("files.write/now", True),
        ]
    assert await sources.every(Scope("elsewhere", "x")) == []


async def test_a_server_that_is_away_changes_nothing(sources: ToolSources) -> None:
    await update(sources, READ)
    with pytest.raises(Unavailable, match="The MCP server files cannot be used: files is away"):
        await sources.sync_everywhere(Lister(), "files")
    assert [tool.enabled for tool in await sources.every(SCOPE)] == [True]


async def test_a_name_is_for_one_kind_of_source(sources: ToolSources) -> None:
    await update(sources, READ)
    check_source("files", await sources.of_source(SCOPE, "files"))
    operation = NewTool("shop.list", "List", "lists", "https://shop.example/items", source="shop")
    await sources.update(SCOPE, "shop", [operation])
    with pytest.raises(Invalid, match="shop is the name of an OpenAPI document"):
        check_source("shop", await sources.of_source(SCOPE, "shop"))
    assert await listed_tools(Lister(READ), "files") == [new_tool("files", READ)]
