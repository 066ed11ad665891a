"""Tasks at an endpoint that answers 400 to whatever a strict one refuses, with an odd tool beside a good one."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from memos_mcp.orchestrator.loop import Limits, Orchestrator, Outcome
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from tests.orchestrator.services import ECHO, Memory, Model, Tools, calling, serving
from tests.orchestrator.strict_endpoint import StrictModel, root_faults

pytestmark = pytest.mark.anyio

TEXT = {"type": "string"}
DEEP: dict[str, Any] = TEXT
for _ in range(60):
    DEEP = {"type": "object", "properties": {"inner": DEEP}}

ODD: dict[str, Any] = {
    "no schema": None,
    "an empty schema": {},
    "the schema true": True,
    "no properties": {"type": "object"},
    "properties that are a list": {"type": "object", "properties": []},
    "oneOf at the root": {"oneOf": [{"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, ECHO]},
    "anyOf of required at the root": {**ECHO, "anyOf": [{"required": ["word"]}, {"required": ["other"]}]},
    "allOf at the root": {"allOf": [ECHO, {"properties": {"b": {"type": "integer"}}}]},
    "enum, not and if at the root": {**ECHO, "enum": [{}], "not": {"required": ["x"]}, "if": {}, "then": ECHO},
    "a reference at the root": {"$ref": "#/$defs/Request", "$defs": {"Request": ECHO}},
    "a reference of OpenAPI": {
        "$ref": "#/components/schemas/A~1B",
        "components": {
            "schemas": {"A/B": {"type": "object", "properties": {"a": {"$ref": "#/components/schemas/C"}}}, "C": TEXT}
        },
    },
    "a tree of itself": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}},
    "references in a circle": {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"properties": {"b": {"$ref": "#/$defs/B"}}}, "B": {"properties": {"a": {"$ref": "#/$defs/A"}}}},
    },
    "keywords of its own everywhere": {
        "type": "object",
        "x-body": "json",
        "properties": {"a": {"type": "string", "x-in": "query", "items": {"x-order": 1}}, "x-name": {"type": "string"}},
    },
    "boolean schemas": {
        "type": "object",
        "properties": {"a": True, "b": False, "c": {"type": "array", "items": True}},
    },
    "nullable of OpenAPI": {
        "type": "object",
        "properties": {
            "a": {"type": "string", "nullable": True, "enum": ["x"]},
            "b": {"nullable": True, "allOf": [{"$ref": "#/definitions/B"}]},
            "c": {"nullable": True, "oneOf": [TEXT, {"type": "integer"}]},
        },
        "definitions": {"B": {"type": "object", "properties": {}}},
    },
    "sixty levels": DEEP,
    "required in the properties": {"type": "object", "properties": {"a": {"type": "string", "required": True}}},
    "arrays without items": {
        "type": "object",
        "properties": {"a": {"type": "array"}, "b": {"type": "array", "items": [TEXT, {}]}},
    },
    "types of nobody": {
        "type": "object",
        "properties": {"a": {"type": "file"}, "b": {"type": "any"}, "c": {"type": []}},
    },
    "a description that is no text": {
        "type": "object",
        "properties": {"a": {"type": "string", "description": {"en": "A"}, "example": 1}},
    },
    "object or null": {"type": ["object", "null"], "properties": {"a": TEXT}},
}
"""Schemas that can be offered, after what is odd in them."""

UNFIT: dict[str, Any] = {
    "an array at the root": ({"type": "array", "items": TEXT}, "root is not an object"),
    "text at the root": ({"type": "string"}, "root is not an object"),
    "no object among the alternatives": ({"oneOf": [TEXT, {"type": "null"}]}, "none of the alternatives"),
    "a reference to nothing": ({"$ref": "#/components/schemas/None"}, "not in it"),
    "a reference to another file": ({"properties": {"a": {"$ref": "other.json"}}}, "another document"),
    "a reference to itself": ({"$ref": "#"}, "only to itself"),
    "the schema false": (False, "accepts nothing"),
}
"""Schemas that cannot, with the reason that is given."""


@pytest.fixture
def memory(tool_host: str) -> Memory:
    good = {
        "tool_id": "test.echo",
        "name": "Echo",
        "description": "Echo a word.",
        "endpoint_url": f"http://{tool_host}/echo",
        "request_schema": ECHO,
    }
    return Memory(
        {
            "query_memory": {"memories": [], "degraded": None},
            "discover_tools": {"tools": [good], "degraded": None},
            "store_memory": {"memory_id": "m-1", "created": True},
        }
    )


@pytest.fixture
def url(memory: Memory) -> Iterator[str]:
    with serving(memory.app) as host:
        yield f"http://{host}/mcp"


def add(memory: Memory, tool_id: str, schema: Any) -> None:
    good = memory.answers["discover_tools"]["tools"][0]
    memory.answers["discover_tools"]["tools"].insert(0, {**good, "tool_id": tool_id, "request_schema": schema})


async def delegated(model: Model, url: str, tool_host: str, **options: Any) -> Outcome:
    with serving(model.app) as host:
        cortex = OpenAICortex("scripted", base_url=f"http://{host}/v1", max_retries=0)
        async with Orchestrator.open(cortex, memory=url, private_hosts=[tool_host], **options) as orchestrator:
            return await orchestrator.delegate("Say hello")


def good_call(asked: dict[str, Any]) -> dict[str, Any]:
    assert "test_echo" in [tool["function"]["name"] for tool in asked["tools"]]
    return calling(("test_echo", '{"word": "hello"}'))


@pytest.mark.parametrize("oddity", ODD)
async def test_a_task_with_a_good_tool_ends_well_beside_an_odd_one_that_is_offered(
    oddity: str, memory: Memory, url: str, tool_host: str
) -> None:
    add(memory, "test.odd", ODD[oddity])
    model = StrictModel([good_call, {"content": "Done."}])
    outcome = await delegated(model, url, tool_host)
    assert (outcome.ended, outcome.result, outcome.tools_used) == ("answered", "Done.", ["test.echo"])
    assert len(model.asked) == 2
    offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in model.asked[0]["tools"]}
    assert set(offered) == {"test_echo", "test_odd"}
    assert offered["test_echo"] == ECHO


@pytest.mark.parametrize("oddity", UNFIT)
async def test_a_task_with_a_good_tool_ends_well_beside_one_that_cannot_be_offered(
    oddity: str, memory: Memory, url: str, tool_host: str
) -> None:
    schema, reason = UNFIT[oddity]
    add(memory, "test.odd", schema)
    model = StrictModel([good_call, {"content": "Done."}])
    outcome = await delegated(model, url, tool_host)
    assert (outcome.ended, outcome.result, outcome.tools_used) == ("answered", "Done.", ["test.echo"])
    assert reason in outcome.payload.left_out["test.odd"]
    assert [step.text for step in outcome.steps if step.happening == "left out"] == [
        f"test.odd: {outcome.payload.left_out['test.odd']}"
    ]
    assert "test.odd" in model.asked[0]["messages"][1]["content"]


async def test_all_odd_tools_together_do_not_end_a_task(memory: Memory, url: str, tool_host: str) -> None:
    for number, schema in enumerate([*ODD.values(), *(schema for schema, _ in UNFIT.values())]):
        add(memory, f"odd {number}/§", schema)
    add(memory, "x" * 100, ECHO)
    outcome = await delegated(StrictModel([good_call, {"content": "Done."}]), url, tool_host)
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])
    assert len(outcome.payload.left_out) == len(UNFIT)


async def test_a_tool_that_the_endpoint_refuses_by_name_is_left_out(memory: Memory, url: str, tool_host: str) -> None:
    add(memory, "test.odd", {"type": "object", "properties": {"a": {"type": "string", "pattern": "^a$"}}})

    def refusing(asked: dict[str, Any]) -> bool:
        return "test_odd" in [tool["function"]["name"] for tool in asked["tools"]]

    model = Picky([good_call, {"content": "Done."}], refusing, "Invalid schema for function 'test_odd': no.")
    outcome = await delegated(model, url, tool_host)
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])
    (step,) = [step for step in outcome.steps if step.happening == "left out"]
    assert step.text == "test.odd: the model's endpoint refuses it: Invalid schema for function 'test_odd': no."


async def test_schemas_that_the_endpoint_refuses_without_a_name_are_reduced(
    memory: Memory, url: str, tool_host: str
) -> None:
    add(memory, "test.odd", {"type": "object", "properties": {"a": {"type": ["string", "null"], "pattern": "^a$"}}})

    def refusing(asked: dict[str, Any]) -> bool:
        return "pattern" in str(asked["tools"])

    model = Picky([good_call, {"content": "Done."}], refusing, "failed to parse grammar")  # llama.cpp
    outcome = await delegated(model, url, tool_host)
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])
    assert [len(asked["tools"]) for asked in model.requests] == [2, 2, 2]
    assert model.asked[-1]["tools"][0]["function"]["parameters"]["properties"] == {"a": {"type": "string"}}


class Picky(Model):
    """A model whose endpoint refuses some requests in its own words."""

    def __init__(self, lines: Any, refuses: Callable[[dict[str, Any]], bool], words: str) -> None:
        super().__init__(lines)
        self.refuses, self.words = refuses, words
        self.requests: list[dict[str, Any]] = []

    async def _answer(self, request: Request) -> Response:
        asked = await request.json()
        self.requests.append(asked)
        if self.refuses(asked):
            return JSONResponse({"error": {"message": self.words, "code": 400}}, 400)
        return await super()._answer(request)


async def test_a_name_that_the_model_made_up_and_the_last_step_are_sent_as_a_strict_endpoint_takes_them(
    url: str, tool_host: str
) -> None:
    twice = {
        "tool_calls": [
            {"id": "", "type": "function", "function": {"name": "", "arguments": "{"}},
            {"id": "same", "type": "function", "function": {"name": "no such tool!", "arguments": "[]"}},
            {"id": "same", "type": "function", "function": {"name": "test_echo", "arguments": '{"word": "a"}'}},
        ]
    }
    model = StrictModel([twice, twice, {"content": "Done."}])
    outcome = await delegated(model, url, tool_host, limits=Limits(steps=3))
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])
    ids = [call["id"] for message in model.asked[-1]["messages"] for call in message.get("tool_calls", ())]
    assert len(set(ids)) == 6


async def test_a_question_before_the_last_step_is_sent_as_a_strict_endpoint_takes_it(url: str, tool_host: str) -> None:
    model = StrictModel([good_call, {"content": "<tool_call>"}, {"content": "Done."}])
    outcome = await delegated(model, url, tool_host, limits=Limits(steps=3))
    assert (outcome.ended, outcome.result) == ("answered", "Done.")
    assert "last step" in model.asked[-1]["messages"][-1]["content"]


def test_the_strict_endpoint_refuses_the_schemas_as_they_were_registered() -> None:
    refused = [name for name, schema in ODD.items() if any(root_faults(schema))]
    assert len(refused) >= 20


async def test_a_tool_is_called_once(memory: Memory, url: str, tool_host: str, tools: Tools) -> None:
    add(memory, "test.odd", ODD["allOf at the root"])
    before = tools.asked("echo")
    await delegated(StrictModel([good_call, {"content": "Done."}]), url, tool_host)
    assert tools.asked("echo") == before + 1
