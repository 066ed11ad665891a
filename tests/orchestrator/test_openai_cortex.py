import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from memos_mcp.orchestrator import openai_cortex
from memos_mcp.orchestrator.cortex import CortexDown, Message, Thought, ToolCall
from memos_mcp.orchestrator.endpoint_words import refusal
from memos_mcp.orchestrator.model_answers import Functions, read_answer
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from tests.orchestrator.services import ECHO, Model, calling, free_port, serving, tool

pytestmark = pytest.mark.anyio

FIELDS = st.sampled_from(
    [
        "content",
        "text",
        "type",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "function_call",
        "refusal",
        "message",
    ]
)
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "text", "t", "{}", '{"name": "t"}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
)
HELLO = [Message("system", "Be good."), Message("user", "Hello")]


@asynccontextmanager
async def cortex(model: Model, **options: Any) -> AsyncIterator[OpenAICortex]:
    with serving(model.app) as host:
        one = OpenAICortex("scripted", base_url=f"http://{host}/v1", max_retries=0, **options)
        yield one
        await one.close()


async def test_messages_become_a_request_and_an_answer_a_thought() -> None:
    model = Model([calling(("test_echo", '{"word": "x"}'), ("nobody", "{")), {"content": "Done."}])
    echo = tool("127.0.0.1:1", request_schema={**ECHO, "x-method": "GET"})
    async with cortex(model, api_key="sk-secret") as one:
        thought = await one.think(HELLO, [echo])
        assert thought == Thought(
            "", [ToolCall("call-0", "test.echo", '{"word": "x"}'), ToolCall("call-1", "nobody", "{")]
        )
        messages = [*HELLO, Message("assistant", "", thought.tool_calls), Message("tool", "5", call_id="call-0")]
        assert await one.think(messages, [echo]) == Thought("Done.", [])
    first, second = model.asked
    assert first["model"] == "scripted"
    assert first["tools"][0]["function"] == {"name": "test_echo", "description": "Echo: Does echo.", "parameters": ECHO}
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "tool"]
    functions = [call["function"] for call in second["messages"][2]["tool_calls"]]
    assert functions == [{"name": "test_echo", "arguments": '{"word": "x"}'}, {"name": "nobody", "arguments": "{}"}]
    assert second["messages"][3]["tool_call_id"] == "call-0"
    assert model.keys == ["Bearer sk-secret"] * 2


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_refusal_is_reported_in_the_words_of_the_endpoint_without_keys(status: int) -> None:
    async with cortex(Model([status])) as one:
        with pytest.raises(CortexDown) as down:
            await one.think(HELLO, [])
    assert str(down.value) == f"the model's endpoint answered with status {status}: the key [removed] is wrong"


async def test_the_key_and_the_address_of_the_endpoint_are_never_in_its_words() -> None:
    model = Model([])
    with serving(model.app) as host:
        model.lines = [(401, {"error": {"message": f"hunter2 is no key at {host}"}})]
        one = OpenAICortex("scripted", base_url=f"http://{host}/v1", api_key="hunter2", max_retries=0)
        with pytest.raises(CortexDown) as down:
            await one.think(HELLO, [])
        await one.close()
    assert str(down.value).endswith("[removed] is no key at [removed]")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "data: {}", "[]", "{}", '{"choices": []}', "null"])
async def test_a_response_that_is_no_completion_is_reported(body: str) -> None:
    async def answer(_: Request) -> Response:
        return Response(body, media_type="application/json")

    with serving(Starlette(routes=[Route("/v1/chat/completions", answer, methods=["POST"])])) as host:
        one = OpenAICortex("scripted", base_url=f"http://{host}/v1", max_retries=0)
        with pytest.raises(CortexDown):
            await one.think(HELLO, [])
        await one.close()


async def test_a_message_of_the_assistant_is_between_a_tool_and_the_user() -> None:
    model = Model([{"content": "Done."}])
    called = Message("assistant", "", [ToolCall("1", "test.echo")])
    async with cortex(model) as one:
        await one.think([*HELLO, called, Message("tool", "5", call_id="1"), Message("user", "Hurry")], [])
    assert [message["role"] for message in model.asked[0]["messages"]][-3:] == ["tool", "assistant", "user"]


async def test_an_id_that_an_earlier_call_had_is_replaced() -> None:
    before = Message("assistant", "", [ToolCall("call-0", "test.echo")])
    async with cortex(Model([calling(("test_echo", "{}"))])) as one:
        (call,) = (await one.think([*HELLO, before], [tool("127.0.0.1:1")])).tool_calls
    assert call.call_id != "call-0"
    assert (len(call.call_id), call.call_id.isalnum()) == (9, True)


async def test_thinking_is_sent_back_only_to_an_endpoint_that_wants_it() -> None:
    wanted = (400, {"error": {"message": "Missing `reasoning_content` field in the assistant message at index 2"}})
    thinking = {**calling(("test_echo", '{"word": "x"}')), "reasoning_content": "Hm."}
    model = Model([thinking, wanted, {"content": "Done."}])
    async with cortex(model) as one:
        thought = await one.think(HELLO, [tool("127.0.0.1:1")])
        called = Message("assistant", "", thought.tool_calls, thinking=thought.thinking)
        await one.think([*HELLO, called, Message("tool", "5", call_id="call-0")], [tool("127.0.0.1:1")])
    assert "Hm." not in str(thought)
    assert "reasoning_content" not in model.asked[1]["messages"][2]
    assert model.asked[2]["messages"][2]["reasoning_content"] == "Hm."


async def test_the_signature_of_a_call_is_sent_back_with_it() -> None:
    signature = {"google": {"thought_signature": "abc"}}
    signed = calling(("test_echo", '{"word": "x"}'))
    signed["tool_calls"][0]["extra_content"] = signature
    model = Model([signed, {"content": "Done."}])
    async with cortex(model) as one:
        calls = (await one.think(HELLO, [tool("127.0.0.1:1")])).tool_calls
        await one.think([*HELLO, Message("assistant", "", calls), Message("tool", "5", call_id="call-0")], [])
    assert model.asked[1]["messages"][2]["tool_calls"][0]["extra_content"] == signature


@given(BODIES)
def test_any_body_is_a_thought_or_a_reason(body: Any) -> None:
    message = {"choices": [{"message": body, "finish_reason": "stop"}]}
    for given_body in (message, {"choices": body}, {"choices": [body], "usage": body}):
        with suppress(CortexDown):
            read_answer(given_body, Functions({"t": "t"}, {"t": {}}), ())
    assert refusal(400, body).reason


async def test_a_tool_that_cannot_be_offered_is_named_and_the_others_are_offered() -> None:
    model = Model([{"content": "Done."}])
    odd = tool("127.0.0.1:1", "odd", request_schema={"type": "array"})
    async with cortex(model) as one:
        thought = await one.think(HELLO, [odd, tool("127.0.0.1:1")])
    assert list(thought.left_out) == ["test.odd"]
    assert [one["function"]["name"] for one in model.asked[0]["tools"]] == ["test_echo"]


async def test_a_request_to_a_busy_endpoint_is_repeated() -> None:
    model = Model([503, {"content": "Done."}])
    with serving(model.app) as host:
        one = OpenAICortex("scripted", base_url=f"http://{host}/v1", max_retries=1)
        assert (await one.think(HELLO, [])).text == "Done."
        await one.close()


async def test_an_unreachable_endpoint_is_reported() -> None:
    one = OpenAICortex("scripted", base_url=f"http://127.0.0.1:{free_port()}/v1", max_retries=0)
    with pytest.raises(CortexDown, match="cannot be reached"):
        await one.think(HELLO, [])
    await one.close()


async def test_arguments_in_the_form_of_an_object_are_accepted() -> None:
    odd = {"content": "", "tool_calls": [{"function": {"name": "test_echo", "arguments": {"word": "x"}}}]}
    async with cortex(Model([odd])) as one:
        call = (await one.think(HELLO, [tool("127.0.0.1:1")])).tool_calls[0]
    assert (call.tool_id, json.loads(call.arguments)) == ("test.echo", {"word": "x"})


def test_the_error_for_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_cortex, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match=r"memos-as\[cortex\]"):
        OpenAICortex("scripted")


def test_a_key_is_not_shown() -> None:
    assert "sk-secret" not in repr(vars(OpenAICortex("scripted", api_key="sk-secret")))


async def test_an_unpaired_surrogate_does_not_end_the_conversation() -> None:
    messages = [Message("user", "half \ud83d"), Message("assistant", "", [ToolCall("1", "t", '{"a": "\ud83d"}')])]
    model = Model([{"content": "Done."}])
    async with cortex(model) as one:
        assert (await one.think(messages, [])).text == "Done."
    assert model.asked[0]["messages"][0]["content"] == "half ?"
