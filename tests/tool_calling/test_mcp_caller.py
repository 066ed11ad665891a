"""Calls of real MCP servers: a program over stdio that is started, killed and restarted."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from anyio.abc import ObjectReceiveStream

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.mcp_caller import McpCaller
from memos_mcp.tool_calling.mcp_connection import McpConnector
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure
from memos_mcp.tool_calling.tool_servers import ServerDown, ToolServer, endpoint_url
from tests.tool_calling import tool_server
from tests.tool_calling.tool_server import ANYTHING, TOOLS, WORD, calls

pytestmark = pytest.mark.anyio

CANARY = "canary-8a1f27"
READ_ONLY = {"readOnlyHint": True}
IDEMPOTENT = {"readOnlyHint": False, "idempotentHint": True}
SECONDS = 60.0

OLD_SERVER = """
import json, sys
def send(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
print("Welcome to a server that knows only the handshake!", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    number, method = asked.get("id"), asked.get("method")
    if method == "initialize":
        send(id=number, result={"protocolVersion": "2025-06-18", "capabilities": {"tools": {"listChanged": True}},
                                "serverInfo": {"name": "old", "version": "1"}})
    elif method == "tools/list":
        send(id=number, result={"tools": [{"name": "old", "inputSchema": {"type": "object"}}]})
    elif method == "tools/call":
        send(method="notifications/tools/list_changed")
        send(id=number, result={"content": [{"type": "text", "text": "done"}]})
    elif number is not None:
        send(id=number, error={"code": -32601, "message": "unknown"})
"""


class NoCredentials:
    def get(self, name: str) -> None:
        raise AssertionError(name)


def server(state: Path, **fields: Any) -> ToolServer:
    return ToolServer("s", (sys.executable, tool_server.__file__, str(state)), **fields)


def caller(*servers: ToolServer, environment: Mapping[str, str] | None = None, **options: Any) -> McpCaller:
    connector = McpConnector(
        AllowedHosts((), ()),
        NoCredentials(),
        {**os.environ, **(environment or {})},
        max_bytes=options.pop("max_bytes", 100_000),
    )
    return McpCaller({server.name: server for server in servers}.get, connector, seconds=SECONDS, **options)


def tool(name: str, **fields: Any) -> CalledTool:
    return CalledTool(f"s.{name}", endpoint_url("s", name), **fields)


def answered(outcome: ToolAnswer | ToolFailure) -> ToolAnswer:
    assert isinstance(outcome, ToolAnswer), outcome
    return outcome


def failed(outcome: ToolAnswer | ToolFailure) -> ToolFailure:
    assert isinstance(outcome, ToolFailure), outcome
    return outcome


def programs(state: Path) -> Sequence[psutil.Process]:
    """Return the servers with this state that run."""
    return [child for child in psutil.Process().children(recursive=True) if str(state) in arguments(child)]


def arguments(process: psutil.Process) -> list[str]:
    """Return the arguments of a process, or none of one that has just ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


async def ended(state: Path) -> None:
    """Wait until the servers with this state have ended."""
    await anyio.to_thread.run_sync(psutil.wait_procs, programs(state), SECONDS)
    assert programs(state) == []


async def test_the_tools_of_all_pages_are_listed_with_their_schemas_and_hints(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        listed = {tool.name: tool for tool in await mcp.list_tools("s")}
    assert list(listed) == [tool.name for tool in TOOLS]
    assert (listed["echo"].title, listed["echo"].input_schema, listed["echo"].output_schema) == ("Echo", WORD, WORD)
    assert (listed["echo"].annotations, listed["text"].description) == (READ_ONLY, None)


ANSWERS: list[tuple[str, Mapping[str, Any] | None, Any, str | None]] = [
    ("text", None, "text", None),
    ("picture", None, ["a picture", {"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"}], None),
    ("both", ANYTHING, {"size": 1}, "done, but it also answered with 1 part of type image"),
    ("misfits", WORD, {"word": 5}, "done, but its answer does not agree with its response_schema: at word: 5 is not"),
    ("unstructured", WORD, "unstructured", "done, but it answered without the structured content"),
    ("both", {"type": "object", "properties": 5}, {"size": 1}, "the schema cannot be used"),
]


async def test_an_answer_is_given_whole_with_what_is_not_as_promised(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        for name, schema, value, note in ANSWERS:
            answer = answered(await mcp.call(tool(name, response_schema=schema), {}))
            assert answer.value == value
            assert (answer.note is None) == (note is None)
            assert (note or "") in (answer.note or "")


async def test_an_error_of_a_tool_is_a_failure_whose_effect_is_unknown(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        changing = failed(await mcp.call(tool("fails"), {}))
        reading = failed(await mcp.call(tool("fails", annotations=READ_ONLY), {}))
    assert changing.what == "It reports an error: The disk is full. Whether it was done is not known."
    assert reading.what == "It reports an error: The disk is full."
    assert (changing.effect, reading.effect) == ("unknown", "none")


async def test_a_tool_caller_checks_the_arguments_before_a_server_is_started(tmp_path: Path) -> None:
    echo = tool("echo", request_schema=WORD, response_schema=WORD)
    async with caller(server(tmp_path)) as mcp:
        calls_tools = ToolCaller(servers=mcp, seconds=SECONDS)
        for arguments in ("{}", '{"word": 5}', "[]", {"word": "\ud83d"}):
            failure = failed(await calls_tools.call(echo, arguments))
            assert failure.what.startswith("The arguments ")
            assert failure.effect == "none"
        assert programs(tmp_path) == []
        assert answered(await calls_tools.call(echo, '{"word": "hi"}')).value == {"word": "hi"}


async def test_a_server_is_started_once_for_calls_at_the_same_time(tmp_path: Path) -> None:
    outcomes: list[ToolAnswer | ToolFailure] = []

    async def call(word: str) -> None:
        outcomes.append(await mcp.call(tool("echo"), {"word": word}))

    async with caller(server(tmp_path)) as mcp:
        async with anyio.create_task_group() as tasks:
            for number in range(5):
                tasks.start_soon(call, str(number))
        assert len(programs(tmp_path)) == 1
    assert sorted(answered(outcome).value["word"] for outcome in outcomes) == list("01234")
    assert programs(tmp_path) == []


async def test_a_server_that_died_is_started_again_at_the_next_call(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        answered(await mcp.call(tool("text"), {}))
        (program,) = programs(tmp_path)
        program.kill()
        await ended(tmp_path)
        assert answered(await mcp.call(tool("echo", annotations=READ_ONLY), {"word": "again"})).value == {
            "word": "again"
        }


async def test_only_a_call_that_may_be_repeated_is_repeated_when_the_server_dies(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        assert answered(await mcp.call(tool("dies once", annotations=IDEMPOTENT), {})).value == "dies once"
        failure = failed(await mcp.call(tool("dies"), {}))
        assert failure.what.startswith("The connection to the MCP server s broke before the answer came: it has ended.")
        assert (failure.effect, failure.retryable) == ("unknown", True)
        assert failed(await mcp.call(tool("dies", annotations=READ_ONLY), {})).effect == "none"
    assert calls(tmp_path) == ["dies once", "dies once", "dies", "dies", "dies"]


async def test_a_call_ends_in_time_and_the_server_serves_the_next_one(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        answered(await mcp.call(tool("text"), {}))
        mcp._seconds = 0.2
        failure = failed(await mcp.call(tool("slow"), {}))
        assert failure.what == "It did not answer within 0.2 s. Whether it was done is not known."
        assert (failure.effect, failure.retryable) == ("unknown", True)
        mcp._seconds = SECONDS
        (program,) = programs(tmp_path)
        answered(await mcp.call(tool("text"), {}))
        assert programs(tmp_path) == [program]


async def test_an_answer_beyond_the_limit_is_not_read_and_not_asked_for_again(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        assert len(answered(await mcp.call(tool("large"), {"size": 90_000})).value) == 90_000
        failure = failed(await mcp.call(tool("large", annotations=IDEMPOTENT), {"size": 10_000_000}))
        assert "cannot be read: its answer is larger than 100,000 bytes" in failure.what
        assert (failure.effect, failure.retryable) == ("unknown", False)
        answered(await mcp.call(tool("text"), {}))
    assert calls(tmp_path) == ["large", "large", "text"]


async def test_a_server_is_given_the_named_variables_only_and_their_values_are_masked(tmp_path: Path) -> None:
    environment = {"FILES_TOKEN": CANARY, "OTHER_TOKEN": "other", "MEMOS_DATABASE_URL": "postgresql://x"}
    async with caller(server(tmp_path, env=("FILES_TOKEN",)), environment=environment) as mcp:
        answer = answered(await mcp.call(tool("environment"), {}))
        echo = answered(await mcp.call(tool("echo", response_schema=WORD), {CANARY: [f"<{CANARY}>"]}))
    assert answer.value["FILES_TOKEN"] == "[variable FILES_TOKEN]"
    assert answer.value["PATH"] == os.environ["PATH"]
    assert answer.value.keys().isdisjoint({"OTHER_TOKEN", "MEMOS_DATABASE_URL"})
    assert echo.value == {"[variable FILES_TOKEN]": ["<[variable FILES_TOKEN]>"]}
    assert echo.note == "done, but its answer does not agree with its response_schema"


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (ToolServer("s", ("/does/not/exist",)), "it cannot be started: No such file or directory"),
        (ToolServer("s", (sys.executable, "-c", "")), "it ended before it answered"),
        (ToolServer("s", (sys.executable, "-c", "print('x' * 200_000)")), "its answer is larger than 100,000 bytes"),
        (ToolServer("s", ("true",), ("UNSET_VARIABLE",)), "it needs the variable UNSET_VARIABLE, which is not set"),
        (ToolServer("other", ("true",)), "it is not known here: memos-as tools add-mcp adds it"),
    ],
)
async def test_a_server_that_cannot_be_used_is_reported_with_the_reason(wrong: ToolServer, problem: str) -> None:
    async with caller(wrong) as mcp:
        failure = failed(await mcp.call(tool("text"), {}))
        assert failure.what.startswith(f"The MCP server s cannot be used: {problem}")
        assert (failure.effect, failure.retryable, failure.cause) == ("none", True, "setup")
        with pytest.raises(ServerDown, match=problem):
            await mcp.list_tools("s")


async def test_a_server_that_does_not_speak_is_given_up(tmp_path: Path) -> None:
    mute = ToolServer("s", (sys.executable, "-c", f"import time; {str(tmp_path)!r}; time.sleep(60)"))
    async with caller(mute, start_seconds=0.3) as mcp:
        failure = failed(await mcp.call(tool("text"), {}))
        assert failure.what == "The MCP server s cannot be used: it did not start within 0.3 s."
    assert not [child for child in psutil.Process().children() if str(tmp_path) in " ".join(arguments(child))]


async def test_an_idle_server_is_closed_and_started_again(tmp_path: Path) -> None:
    async with caller(server(tmp_path), idle_seconds=0.05) as mcp:
        answered(await mcp.call(tool("text"), {}))
        await ended(tmp_path)
        answered(await mcp.call(tool("text"), {}))


async def test_a_change_of_the_configuration_counts_from_the_next_call_on(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    current = server(tmp_path / "a")
    connector = McpConnector(AllowedHosts((), ()), NoCredentials(), os.environ, max_bytes=100_000)
    async with McpCaller(lambda _: current, connector) as mcp:
        answered(await mcp.call(tool("text"), {}))
        current = server(tmp_path / "b")
        answered(await mcp.call(tool("text"), {}))
    assert (calls(tmp_path / "a"), calls(tmp_path / "b")) == (["text"], ["text"])


async def changed_server(names: ObjectReceiveStream[str]) -> str:
    with anyio.fail_after(SECONDS):
        return await names.receive()


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_change_of_the_list_is_reported_while_the_connection_is_open(tmp_path: Path, era: str) -> None:
    notify, names = anyio.create_memory_object_stream[str](10)
    old = ToolServer("s", (sys.executable, "-c", OLD_SERVER))
    async with caller(old if era == "legacy" else server(tmp_path), on_list_changed=notify.send) as mcp, notify, names:
        listed = await mcp.list_tools("s")
        answered(await mcp.call(tool("old" if era == "legacy" else "notify"), {}))
        assert await changed_server(names) == "s"
    assert listed


async def test_a_report_that_fails_ends_nothing(tmp_path: Path) -> None:
    reported = anyio.Event()

    async def fail(_: str) -> None:
        reported.set()
        raise OSError(CANARY)

    async with caller(server(tmp_path), on_list_changed=fail) as mcp:
        answered(await mcp.call(tool("text"), {}))
        answered(await mcp.call(tool("notify"), {}))
        with anyio.fail_after(SECONDS):
            await reported.wait()
        answered(await mcp.call(tool("text"), {}))


async def test_an_answer_with_an_unpaired_surrogate_is_read() -> None:
    half = OLD_SERVER.replace('"text": "done"', '"text": chr(0xD83D) + "done"')
    async with caller(ToolServer("s", (sys.executable, "-c", half))) as mcp:
        assert answered(await mcp.call(tool("old"), {})).value == "?done"


async def test_a_list_without_end_is_given_up() -> None:
    endless = OLD_SERVER.replace(
        '"inputSchema": {"type": "object"}}]', '"inputSchema": {"type": "object"}}], "nextCursor": "1"'
    )
    async with caller(ToolServer("s", (sys.executable, "-c", endless))) as mcp:
        with pytest.raises(ServerDown, match="its list of tools has no end"):
            await mcp.list_tools("s")


async def test_a_list_that_is_not_as_mcp_says_is_reported_with_the_path() -> None:
    wrong = OLD_SERVER.replace('"inputSchema": {"type": "object"}', f'"inputSchema": "{CANARY}"')
    async with caller(ToolServer("s", (sys.executable, "-c", wrong))) as mcp:
        with pytest.raises(ServerDown, match="its list of tools is not as MCP says, at tools/0/inputSchema") as down:
            await mcp.list_tools("s")
    assert CANARY not in str(down.value)


async def test_another_endpoint_is_refused(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        failure = failed(await mcp.call(CalledTool("x", "mcp://s"), {}))
    assert failure.what == "Its endpoint_url does not name a tool of an MCP server."


async def test_a_call_after_the_end_is_refused(tmp_path: Path) -> None:
    async with caller(server(tmp_path)) as mcp:
        pass
    assert "memos-as is stopping" in failed(await mcp.call(tool("text"), {})).what
    assert json.dumps(calls(tmp_path)) == "[]"
