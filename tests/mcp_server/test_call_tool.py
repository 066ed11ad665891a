"""`call_tool`: there only where the operator names hosts, and truthful about what was done."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, Tool

from memos_mcp.app import assemble, compose
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.mcp_server.response_budget import HARD_CHARS
from memos_mcp.mcp_server.server import build_server
from memos_mcp.postgres.database import Database
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.stand_in import SCOPE, stand_in
from tests.tool_calling.endpoints import ECHO, Tools, serving

pytestmark = pytest.mark.anyio

TEAM = Scope("team", "tester")


@asynccontextmanager
async def toolbox(database: Database, host: str, *behaviours: str) -> AsyncIterator[Client]:
    """A client of a server that may call the endpoints of a host, which are registered as tools."""
    settings = Settings(tool_private_hosts=(host,), index_wait_seconds=0)
    app = compose(settings, database, assemble(settings).index, HashEmbedder())
    for behaviour in behaviours:
        response = {"type": "object", "required": ["reply"], "properties": {"reply": {"type": "string"}}}
        await app.tools.record(
            TEAM, NewTool(f"test.{behaviour}", behaviour, "Does it.", f"http://{host}/{behaviour}", ECHO, response)
        )
    async with Client(build_server(app, TEAM)) as client:
        yield client


async def called(client: Client, tool_id: str, **arguments: Any) -> CallToolResult:
    return await client.call_tool("call_tool", {"tool_id": tool_id, **arguments})


def text(result: CallToolResult) -> str:
    return str(getattr(result.content[0], "text", ""))


async def test_a_server_without_named_hosts_has_no_call_tool() -> None:
    offered = list[dict[str, Tool]]()
    for settings in (Settings(), Settings(tool_hosts=("api.example.com",))):
        async with Client(build_server(stand_in(settings), SCOPE)) as client:
            offered.append({tool.name: tool for tool in (await client.list_tools()).tools})
    assert [set(tools) - {"call_tool"} for tools in offered] == [set(offered[0])] * 2
    annotations = offered[1]["call_tool"].annotations
    assert annotations is not None
    assert (annotations.open_world_hint, annotations.destructive_hint) == (True, True)


async def test_a_registered_tool_is_called_and_its_answer_returned(database: Database) -> None:
    endpoints = Tools()
    with serving(endpoints.app) as host:
        async with toolbox(database, host, "echo") as client:
            result = await called(client, "test.echo", arguments={"word": "hello"})
    assert result.structured_content == {
        "tool_id": "test.echo",
        "answer": {"reply": "hello", "host": host},
        "status": 200,
    }
    assert json.loads(text(result)) == result.structured_content
    assert endpoints.seen == [("POST", "echo", {"word": "hello"})]


async def test_an_effect_with_an_unexpected_answer_is_done_and_noted(database: Database) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host, "liar") as client:
            result = await called(client, "test.liar", arguments={"word": "x"})
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["answer"] == {"reply": 5}
    assert result.structured_content["note"].startswith("done, but ")


@pytest.mark.parametrize(
    ("tool_id", "arguments", "says"),
    [
        ("test.refusing", {"word": "x"}, "status 422: "),
        ("test.echo", {}, "The arguments do not agree with its request_schema: 'word' is a required property"),
        ("test.none", {"word": "x"}, "No tool has the tool_id 'test.none'. discover_tools finds the right one."),
        ("test.busy", {"word": "x"}, "The same call may succeed later."),
    ],
)
async def test_a_failed_call_is_an_error_that_says_what_to_do(
    database: Database, tool_id: str, arguments: dict[str, Any], says: str
) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host, "echo", "refusing", "busy") as client:
            result = await called(client, tool_id, arguments=arguments)
    assert result.is_error
    assert says in text(result)


async def test_a_tool_at_another_host_is_not_called(database: Database) -> None:
    with serving((other := Tools()).app) as elsewhere, serving(Tools().app) as host:
        async with toolbox(database, host) as client:
            await client.call_tool(
                "register_tool",
                {"tool_id": "x", "name": "X", "description": "Does.", "endpoint_url": f"http://{elsewhere}/echo"},
            )
            result = await called(client, "x")
    assert result.is_error
    assert "Its host is not one that may be called here" in text(result)
    assert other.seen == []


async def test_a_long_answer_is_cut_where_it_says(database: Database) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host) as client:
            await client.call_tool(
                "register_tool",
                {"tool_id": "long", "name": "L", "description": "Repeats.", "endpoint_url": f"http://{host}/echo"},
            )
            word = "\x01" * 20_000
            result = await called(client, "long", arguments={"word": word})
    found = result.structured_content
    assert found is not None
    assert found["answer_begins"].startswith('{"reply":"\\u0001')
    whole = json.dumps({"reply": word, "host": host}, separators=(",", ":"))
    assert len(found["answer_begins"]) + found["characters_left_out"] == len(whole)
    assert len(text(result)) <= HARD_CHARS


async def test_an_answer_that_utf_8_cannot_encode_is_shown_as_its_json(database: Database) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host, "surrogate") as client:
            result = await called(client, "test.surrogate", arguments={"word": "x"})
    assert result.structured_content is not None
    assert result.structured_content["answer_begins"] == r'{"reply": "\ud800"}'
    assert result.structured_content["characters_left_out"] == 0


async def outcomes(database: Database) -> list[tuple[str, str, bool, str | None]]:
    async with database.everything.connection() as connection:
        rows = await connection.fetch(
            "SELECT tool_id, task, worked, why FROM tool_outcomes AS one JOIN past_tasks ON past_tasks.id = task_id "
            "ORDER BY at"
        )
    return [(row["tool_id"], row["task"], row["worked"], row["why"]) for row in rows]


async def test_what_came_of_a_call_is_kept_with_its_task_and_without_the_words_of_the_tool(database: Database) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host, "echo", "busy", "liar") as client:
            await called(client, "test.echo", arguments={"word": "private"}, task="say hello")
            await called(client, "test.busy", arguments={"word": "x"}, task="wait for it")
            await called(client, "test.liar", arguments={"word": "x"}, task="count")
            await called(client, "test.echo", arguments={"word": "x"})
    assert await outcomes(database) == [
        ("test.echo", "say hello", True, None),
        ("test.busy", "wait for it", False, "It answered with status 503. Whether it was done is not known."),
        ("test.liar", "count", True, "done, but its answer does not agree with its response_schema"),
    ]


async def test_wrong_arguments_do_not_count_against_a_tool(database: Database) -> None:
    with serving(Tools().app) as host:
        async with toolbox(database, host, "echo", "refusing") as client:
            assert (await called(client, "test.echo", arguments={}, task="say hello")).is_error
            assert (await called(client, "test.refusing", arguments={"word": "x"}, task="say hello")).is_error
    assert await outcomes(database) == []


async def test_a_call_that_is_done_is_answered_although_its_outcome_cannot_be_kept(database: Database) -> None:
    async with database.everything.connection() as connection:
        await connection.execute("DROP TABLE tool_outcomes CASCADE")
    with serving((endpoints := Tools()).app) as host:
        async with toolbox(database, host, "echo") as client:
            result = await called(client, "test.echo", arguments={"word": "hello"}, task="say hello")
    assert not result.is_error
    assert endpoints.asked("echo") == 1
