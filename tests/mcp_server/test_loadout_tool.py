"""`build_loadout`: the pack that it sends, and the token counts that it reports."""

import json
from collections.abc import Sequence
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client

from memos_mcp.app import App
from memos_mcp.domain.errors import NotFound
from memos_mcp.domain.index import Span
from memos_mcp.domain.loadout import Loadout
from memos_mcp.domain.memory import MemoryHit
from memos_mcp.domain.quotas import NO_QUOTAS
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolHit
from memos_mcp.mcp_server.loadout_tool import BUILD_LOADOUT
from memos_mcp.mcp_server.server import build_server
from memos_mcp.retrieval.packing import PackCandidate, PackQuery
from memos_mcp.services.call_limits import CallLimits
from memos_mcp.services.loadouts import Gathered, Proposals
from memos_mcp.settings import Settings
from tests.stand_in import SCOPE, memory_hit, stand_in, tool_hit

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"query": {"type": "string", "description": "what to search " * 9}}}


class StandInLoadouts:
    """Returns the loadout it was given, and records the requests."""

    def __init__(self, gathered: Gathered | None = None) -> None:
        self.gathered = gathered
        self.asked: list[tuple[str | None, str, Sequence[str]]] = []

    async def gather(self, scope: Scope, name: str | None, task: str, needs: Sequence[str] = ()) -> Gathered:
        assert scope == SCOPE
        self.asked.append((name, task, needs))
        if self.gathered is None:
            raise NotFound("No loadout.")
        return self.gathered


class OnlyLoadouts:
    """The part of an `App` that the tool uses."""

    def __init__(self, gathered: Gathered | None = None) -> None:
        assembled = stand_in()
        self.loadouts = StandInLoadouts(gathered)
        self.settings = Settings()
        self.telemetry = assembled.telemetry
        self.audit = assembled.audit
        self.call_limits = CallLimits(NO_QUOTAS)

    @property
    def app(self) -> App:
        return cast("App", self)


def gathered(
    memories: Sequence[MemoryHit] = (), tools: Sequence[ToolHit] = (), pins: int = 0, **parts: Any
) -> Gathered:
    """Return hits that all cover the task; the first `pins` of each kind are pinned."""
    remembered = Proposals(hits={str(hit.memory.memory_id): hit for hit in memories})
    registered = Proposals(hits={hit.tool.tool_id: hit for hit in tools})
    for proposals in (remembered, registered):
        scores = {key: hit.score or 0.0 for key, hit in proposals.hits.items()}
        proposals.asks.append(
            PackQuery("task", [PackCandidate(key, score, covers=True) for key, score in scores.items()], need=True)
        )
        proposals.pins.extend(list(scores)[:pins])
    return Gathered(Loadout(**parts), ["the task"], remembered, registered)


async def build(given: Gathered, **arguments: Any) -> Any:
    return await BUILD_LOADOUT.call(OnlyLoadouts(given).app, SCOPE, BUILD_LOADOUT.parse({"task": "t"} | arguments))


def size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=600)
memories = st.lists(texts, max_size=6, unique=True).map(
    lambda some: [memory_hit(number, Span(0, min(20, len(text))), content=text) for number, text in enumerate(some)]
)
tools = st.lists(texts, max_size=6, unique=True).map(
    lambda some: [
        tool_hit(number, description=text, request_schema=SCHEMA, response_schema=SCHEMA)
        for number, text in enumerate(some)
    ]
)


@given(memories, tools, st.integers(0, 600), st.integers(0, 600))
async def test_reported_tokens_match_the_items_and_stay_within_the_budgets(
    memories: list[MemoryHit], tools: list[ToolHit], memory_tokens: int, tool_tokens: int
) -> None:
    packed = await build(gathered(memories, tools), memory_tokens=memory_tokens, tool_tokens=tool_tokens)
    for kind, budget in (("memories", memory_tokens), ("tools", tool_tokens)):
        assert all(0 <= item["tokens"] * 4 - size(item) <= 8 for item in packed[kind])
        spent = packed["tokens"][kind]
        assert spent == {"used": sum(item["tokens"] for item in packed[kind]), "budget": budget}
        assert spent["used"] <= budget
        assert size(packed[kind]) <= 4 * budget or not packed[kind]
    assert len(packed["memories"]) + packed["left_out"]["memories"] == len(memories)
    assert len(packed["tools"]) + packed["left_out"]["tools"] == len(tools)


async def test_items_that_fit_are_sent_whole_in_the_order_of_the_pack() -> None:
    first, second = memory_hit(1, content="Grüße, 世界 😀", tags=("a",)), memory_hit(2)
    tool = tool_hit(request_schema=SCHEMA, required_capabilities=("network",))
    given = gathered([first, second], [tool], name="x", role="You are x.", capabilities=("network",))
    packed = await build(given)
    assert packed == {
        "name": "x",
        "role": "You are x.",
        "capabilities": ["network"],
        "memories": [
            {
                "memory_id": "00000000-0000-0000-0000-000000000001",
                "content": "Grüße, 世界 😀",
                "kind": "episodic",
                "tags": ["a"],
                "reason": "task",
                "score": 0.9,
                "tokens": 40,
            },
            {
                "memory_id": "00000000-0000-0000-0000-000000000002",
                "content": "memory 2",
                "kind": "episodic",
                "tags": [],
                "reason": "task",
                "score": 0.9,
                "tokens": 36,
            },
        ],
        "tools": [
            {
                "tool_id": "tool-1",
                "name": "Tool 1",
                "description": "Does something.",
                "endpoint_url": "https://tools.example.com/do",
                "method": "POST",
                "required_capabilities": ["network"],
                "request_schema": SCHEMA,
                "reason": "task",
                "score": 0.9,
                "tokens": packed["tools"][0]["tokens"],
            }
        ],
        "tokens": {
            "memories": {"used": 76, "budget": 1_500},
            "tools": {"used": packed["tools"][0]["tokens"], "budget": 2_000},
        },
        "uncovered": [],
        "missing": [],
        "left_out": {"memories": 0, "tools": 0, "withheld": 0},
        "degraded": None,
    }


@pytest.mark.parametrize(
    ("budget", "omitted"), [(400, None), (150, ["response_schema"]), (70, ["request_schema", "response_schema"])]
)
async def test_a_tool_is_sent_without_schemas_that_do_not_fit_and_names_them(
    budget: int, omitted: list[str] | None
) -> None:
    packed = await build(gathered((), [tool_hit(request_schema=SCHEMA, response_schema=SCHEMA)]), tool_tokens=budget)
    [tool] = packed["tools"]
    assert tool.get("omitted") == omitted
    assert {"request_schema", "response_schema"} - tool.keys() == set(omitted or ())
    assert ("1 tools lack a schema" in packed.get("note", "")) == bool(omitted)


async def test_pins_beyond_the_budget_are_sent_alone_and_the_note_reports_it() -> None:
    hits = [memory_hit(1, content="a" * 900), memory_hit(2), memory_hit(3)]
    packed = await build(gathered(hits, (), pins=1), memory_tokens=100)
    assert [(memory["reason"], len(memory["content"])) for memory in packed["memories"]] == [("pinned", 900)]
    used = packed["tokens"]["memories"]["used"]
    assert used > 100
    assert packed["left_out"]["memories"] == 2
    assert packed["note"] == f"The pinned memories alone take {used} of 100 tokens: no other memories were added."
    assert packed["uncovered"] == []


async def test_pins_of_megabytes_are_sent_as_marked_excerpts() -> None:
    hits = [memory_hit(number, content=f"{number} " + "long text " * 25_000) for number in range(1, 9)]
    packed = await build(gathered(hits, (), pins=8))
    assert len(packed["memories"]) == 8
    assert size(packed) < 50_000
    for number, memory in enumerate(packed["memories"], start=1):
        assert memory["content"].startswith(f"{number} long text")
        assert memory["excerpt"]["length"] == 250_002


async def test_the_budgets_of_the_loadout_file_apply_unless_the_call_overrides_them() -> None:
    given = gathered(memory_tokens=7, tool_tokens=8)
    assert [spent["budget"] for spent in (await build(given))["tokens"].values()] == [7, 8]
    packed = await build(given, memory_tokens=0, tool_tokens=9.0)
    assert [spent["budget"] for spent in packed["tokens"].values()] == [0, 9]


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_client_gets_a_pack_that_matches_the_output_schema(era: Any) -> None:
    given = gathered([memory_hit(1, Span(3, 9), content="word " * 2_000)], [tool_hit(request_schema=SCHEMA)], name="x")
    services = OnlyLoadouts(given)
    async with Client(build_server(services.app, SCOPE), mode=era) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        arguments = {"task": "do it", "name": "x", "needs": ["a", "b"], "memory_tokens": 500}
        result = await client.call_tool("build_loadout", arguments)
    assert services.loadouts.asked == [("x", "do it", ["a", "b"])]
    schema = listed["build_loadout"].output_schema
    assert schema is not None
    jsonschema.validate(result.structured_content, schema)
    assert json.loads(cast("Any", result.content[0]).text) == result.structured_content


async def test_an_unknown_loadout_is_an_error_for_the_model() -> None:
    async with Client(build_server(OnlyLoadouts().app, SCOPE)) as client:
        result = await client.call_tool("build_loadout", {"task": "x", "name": "y"})
    assert result.is_error
    assert cast("Any", result.content[0]).text == "No loadout."
