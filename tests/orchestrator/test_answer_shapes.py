"""The shapes in which endpoints answer: none ends a task as "answered" that is not an answer."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from memos_mcp.orchestrator.loop import Limits, Orchestrator, Outcome
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from tests.orchestrator.services import ECHO, Memory, Model, Tools, calling, serving

pytestmark = pytest.mark.anyio

GOOD = calling(("test_echo", '{"word": "hello"}'))
DONE = {"content": "Done."}
CALL = {"name": "test_echo", "arguments": {"word": "hello"}}
FULL = "This model's maximum context length is 8192 tokens. Please reduce the length of the messages."


@pytest.fixture
def memory(tool_host: str) -> Memory:
    good = {
        "tool_id": "test.echo",
        "name": "Echo",
        "description": "Echo a word.",
        "endpoint_url": f"http://{tool_host}/echo",
        "request_schema": {**ECHO, "properties": {"word": {"type": "string"}, "times": {"type": "integer"}}},
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


class Delegations:
    """Delegates the same task to scripted models."""

    def __init__(self, url: str, memory: Memory, tool_host: str, tools: Tools) -> None:
        self.url, self.memory, self.tool_host, self.tools = url, memory, tool_host, tools
        self.model = Model([])

    async def __call__(self, *lines: Any, limits: Limits | None = None) -> Outcome:
        self.model = Model(lines)
        with serving(self.model.app) as host:
            cortex = OpenAICortex("scripted", base_url=f"http://{host}/v1", max_retries=0)
            hosts = [self.tool_host]
            async with Orchestrator.open(cortex, memory=self.url, private_hosts=hosts, limits=limits) as orchestrator:
                return await orchestrator.delegate("Say hello")

    def stored(self) -> list[str]:
        return [arguments["content"] for name, arguments in self.memory.asked if name == "store_memory"]

    def sent(self) -> list[dict[str, Any]]:
        """Return the messages of the last request."""
        messages: list[dict[str, Any]] = self.model.asked[-1]["messages"]
        return messages


@pytest.fixture
def delegate(url: str, memory: Memory, tool_host: str, tools: Tools) -> Delegations:
    return Delegations(url, memory, tool_host, tools)


@pytest.mark.parametrize("reason", ["length", "model_length", "max_tokens"])
async def test_an_answer_at_the_limit_of_tokens_ends_as_cut_off(reason: str, delegate: Delegations) -> None:
    outcome = await delegate(GOOD, {"content": "The library opens at", "finish_reason": reason})
    assert (outcome.ended, outcome.result, outcome.stored) == ("cut off", "The library opens at", None)
    assert "limit of tokens" in outcome.why
    assert delegate.stored() == []
    assert [step.happening for step in outcome.steps][-2:] == ["ended", "not stored"]


async def test_a_call_at_the_limit_of_tokens_is_not_made(delegate: Delegations) -> None:
    before = delegate.tools.asked("echo")
    outcome = await delegate({**calling(("test_echo", '{"word": "hello"}')), "finish_reason": "length"})
    assert (outcome.ended, outcome.stored) == ("cut off", None)
    assert delegate.tools.asked("echo") == before


async def test_a_filtered_answer_ends_as_filtered(delegate: Delegations) -> None:
    outcome = await delegate({"content": "Half of it", "finish_reason": "content_filter"})
    assert (outcome.ended, outcome.stored, delegate.stored()) == ("filtered", None, [])
    assert "content filter" in outcome.why


async def test_a_refusal_of_the_model_ends_as_refused(delegate: Delegations) -> None:
    outcome = await delegate({"refusal": "I cannot help with that."})
    assert (outcome.ended, outcome.result, outcome.stored) == ("refused", "I cannot help with that.", None)


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "text", "text": ""}], "<think>Hm.</think>", "</s>"])
async def test_an_answer_without_text_ends_as_empty(content: Any, delegate: Delegations) -> None:
    outcome = await delegate(GOOD, {"content": content})
    assert (outcome.ended, outcome.result, outcome.stored, delegate.stored()) == ("empty", "", None, [])


@pytest.mark.parametrize(
    "content",
    [
        "<think>SECRET plan</think>Done.",
        "<think>SECRET\n\n```\ncode\n</think>\n\nDone.",
        "SECRET plan, its tag in the chat template\n</think>\n\nDone.",
        "<thinking>SECRET</thinking>\nDone.",
        "[THINK]SECRET[/THINK]Done.",
        "Done. <think>SECRET, and no end",
        "<|channel|>analysis<|message|>SECRET<|end|><|start|>assistant<|channel|>final<|message|>Done.<|return|>",
        [{"type": "thinking", "thinking": [{"type": "text", "text": "SECRET"}]}, {"type": "text", "text": "Done."}],
        [{"type": "reasoning", "text": "SECRET"}, {"type": "text", "text": "Done."}],
    ],
    ids=["R1", "fence in it", "no opening tag", "thinking", "Magistral", "unclosed", "gpt-oss", "Mistral", "reasoning"],
)
async def test_thinking_never_becomes_result_or_memory(content: Any, delegate: Delegations) -> None:
    fields = {"reasoning_content": "SECRET", "reasoning": "SECRET", "reasoning_details": [{"text": "SECRET"}]}
    outcome = await delegate({**GOOD, "content": content, **fields}, {"content": content, **fields})
    assert (outcome.ended, outcome.result) == ("answered", "Done.")
    assert "Result (answered): Done." in delegate.stored()[0]
    assert "SECRET" not in json.dumps([delegate.stored(), [step.text for step in outcome.steps], delegate.sent()])


async def test_thinking_without_an_end_is_no_answer(delegate: Delegations) -> None:
    outcome = await delegate({"content": "<think>First I would call the tool, and then"})
    assert (outcome.ended, outcome.stored) == ("empty", None)


async def test_content_as_a_list_of_parts_is_its_text(delegate: Delegations) -> None:
    outcome = await delegate({"content": [{"type": "text", "text": "Done"}, {"type": "text", "text": " now."}, "!"]})
    assert (outcome.ended, outcome.result) == ("answered", "Done now.!")


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(CALL),
        f"```json\n{json.dumps(CALL)}\n```",
        json.dumps([CALL]),
        json.dumps({"name": "test.echo", "parameters": CALL["arguments"]}),
        json.dumps({"type": "function", "function": CALL}),
        f"I will call it.\n<tool_call>\n{json.dumps(CALL)}\n</tool_call>",
        f"<tool_call>{json.dumps(CALL)}",
        f"<tools>{json.dumps(CALL)}</tools>",
        f"<|tool_call|>[{json.dumps(CALL)}]",
        f"[TOOL_CALLS][{json.dumps(CALL)}]",
        '[TOOL_CALLS]test_echo[ARGS]{"word": "hello"}</s>',
        '[TOOL_CALLS]test_echo{"word": "hello"}',
        '<function=test_echo>{"word": "hello"}</function>',
        f"<|python_tag|>{json.dumps(CALL)}<|eom_id|>",
        "<tool_call>\n<function=test_echo>\n<parameter=word>\nhello\n</parameter>\n</function>\n</tool_call>",
        "<tool_call>test_echo\n<arg_key>word</arg_key>\n<arg_value>hello</arg_value>\n</tool_call>",
        '[test_echo(word="hello")]',
        f"<think>I need it.</think>\n{json.dumps(CALL)}",
        '<|channel|>commentary to=functions.test_echo <|constrain|>json<|message|>{"word": "hello"}<|call|>',
    ],
    ids=[
        "qwen2.5-coder", "fence", "list", "Llama 3.1", "OpenAI's own", "Hermes", "Hermes unclosed", "tools", "Granite",
        "Mistral v3", "Mistral v11", "Mistral v13", "Llama function", "python_tag", "Qwen3-Coder", "GLM", "pythonic",
        "after thinking", "gpt-oss",
    ],
)  # fmt: skip
async def test_a_call_written_as_text_is_made(content: str, delegate: Delegations) -> None:
    outcome = await delegate({"content": content}, DONE)
    assert (outcome.ended, outcome.result, outcome.tools_used) == ("answered", "Done.", ["test.echo"])
    assert delegate.tools.seen[-1] == ("POST", "echo", {"word": "hello"})
    assert delegate.sent()[2]["tool_calls"][0]["function"]["name"] == "test_echo"


UNCLEAR = [
    f"I will call it.\n```json\n{json.dumps(CALL)}\n```\nThat should do.",
    json.dumps({"name": "no_such_tool", "arguments": {}}),
    '<tool_call>{"name": "test_echo", "arguments": {"word": "hel',
    '{"name": "test_echo", "arguments": {"word": "hel',
    "<\uff5ctool\u2581calls\u2581begin\uff5c>function test_echo",
    "<tool_call><function=test_echo><parameter=word>hello</parameter><parameter=times>",
]


@pytest.mark.parametrize("content", UNCLEAR)
async def test_a_call_written_as_text_that_cannot_be_read_is_asked_for_again(
    content: str, delegate: Delegations
) -> None:
    outcome = await delegate({"content": content}, GOOD, DONE)
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])
    assert "asked again" in [step.happening for step in outcome.steps]
    question = delegate.model.asked[1]["messages"][-1]
    assert (question["role"], "test.echo" in question["content"]) == ("user", True)


@pytest.mark.parametrize("content", UNCLEAR)
async def test_a_call_that_is_unreadable_twice_ends_the_task(content: str, delegate: Delegations) -> None:
    outcome = await delegate({"content": content})
    assert (outcome.ended, outcome.tools_used, outcome.stored) == ("unreadable call", [], None)
    assert len(delegate.model.asked) == 2


async def test_a_stop_for_calls_without_a_call_is_asked_for_again(delegate: Delegations) -> None:
    outcome = await delegate({"content": "", "finish_reason": "tool_calls"}, GOOD, DONE)
    assert (outcome.ended, outcome.tools_used) == ("answered", ["test.echo"])


@pytest.mark.parametrize("text", ['{"name": "Mara", "age": 5}', "Use `test_echo` for that.", "f(x) = 2"])
async def test_text_that_is_no_call_is_an_answer(text: str, delegate: Delegations) -> None:
    assert (await delegate({"content": text})).result == text


@pytest.mark.parametrize("call_id", [None, "", " ", "same", 7])
async def test_missing_empty_and_repeated_ids_of_calls_become_unique(call_id: Any, delegate: Delegations) -> None:
    calls = [
        {"id": call_id, "type": "function", "function": {"name": "test_echo", "arguments": json.dumps({"word": word})}}
        for word in ("a", "b")
    ]
    outcome = await delegate({"tool_calls": calls}, {"tool_calls": calls}, DONE)
    assert (outcome.ended, len(outcome.calls)) == ("answered", 4)
    ids = [call["id"] for message in delegate.sent() for call in message.get("tool_calls", ())]
    answered = [message["tool_call_id"] for message in delegate.sent() if message["role"] == "tool"]
    assert len(set(ids)) == 4
    assert all(ids)
    assert answered == ids


async def test_the_same_call_with_the_same_id_is_made_once(delegate: Delegations) -> None:
    twice = {"tool_calls": GOOD["tool_calls"] * 2}
    assert len((await delegate(twice, DONE)).calls) == 1


@pytest.mark.parametrize("name", ["test.echo", " test_echo ", "functions.test_echo", "TEST_ECHO", "test_echotest_echo"])
async def test_a_name_that_can_only_mean_one_tool_is_that_tool(name: str, delegate: Delegations) -> None:
    assert (await delegate(calling((name, '{"word": "a"}')), DONE)).tools_used == ["test.echo"]


@pytest.mark.parametrize("name", ["", None, "no such tool", 5])
async def test_a_call_without_the_name_of_a_tool_is_answered_with_the_tools(name: Any, delegate: Delegations) -> None:
    outcome = await delegate(calling((name, "{}")), DONE)
    assert (outcome.ended, outcome.tools_used) == ("answered", [])
    assert "Tools: test.echo" in outcome.failures[0].what
    assert outcome.calls == []


async def test_the_older_function_call_is_a_call(delegate: Delegations) -> None:
    function = GOOD["tool_calls"][0]["function"]
    outcome = await delegate({"function_call": function, "finish_reason": "function_call"}, DONE)
    assert outcome.tools_used == ["test.echo"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"word": "hello", "times": 2},
        json.dumps(json.dumps({"word": "hello", "times": 2})),
        '```json\n{"word": "hello", "times": 2}\n```',
        '{"word": "hello", "times": 2}{"word": "hello", "times": 2}',
        '{}{"word": "hello", "times": 2}',
        '{"word": "hello", "times": "2"}',
        '{"arguments": {"word": "hello", "times": 2}}',
        "{'word': 'hello', 'times': 2}",
    ],
    ids=["object", "encoded twice", "fence", "twice", "after an empty one", "number as text", "wrapped", "Python"],
)
async def test_arguments_with_one_reading_are_mended(arguments: Any, delegate: Delegations) -> None:
    outcome = await delegate(calling(("test_echo", arguments)), DONE)
    assert (outcome.ended, outcome.failures) == ("answered", [])
    assert delegate.tools.seen[-1] == ("POST", "echo", {"word": "hello", "times": 2})


async def test_null_for_an_optional_argument_is_left_out(delegate: Delegations) -> None:
    await delegate(calling(("test_echo", '{"word": "hello", "times": null}')), DONE)
    assert delegate.tools.seen[-1] == ("POST", "echo", {"word": "hello"})


@pytest.mark.parametrize("arguments", ['{"word": null}', "{oops", '{"word": "a"}{"word": "b"}', "[1]", None])
async def test_arguments_with_several_readings_are_refused(arguments: Any, delegate: Delegations) -> None:
    before = delegate.tools.asked("echo")
    outcome = await delegate(calling(("test_echo", arguments)), DONE)
    assert outcome.failures[0].what.startswith("The arguments")
    assert (outcome.calls, delegate.tools.asked("echo")) == ([], before)


@pytest.mark.parametrize(
    "refusal",
    [
        (400, {"error": {"message": FULL, "type": "invalid_request_error", "code": "context_length_exceeded"}}),
        (400, {"object": "error", "message": FULL, "type": "BadRequestError", "code": 400}),
        (400, {"error": {"code": 400, "message": "the request exceeds the available context size.",
                         "type": "exceed_context_size_error", "n_prompt_tokens": 9_000, "n_ctx": 8_192}}),
        (400, {"error": "Trying to keep the first 9000 tokens when context the overflows. However, the model ..."}),
        (200, {"error": "The number of tokens to keep from the initial prompt is greater than the context length"}),
        (422, {"message": "Prompt contains 65673 tokens, too large for model with 32768 maximum context length"}),
    ],
    ids=["OpenAI", "vLLM", "llama.cpp", "LM Studio", "LM Studio with status 200", "Mistral"],
)  # fmt: skip
async def test_older_answers_are_shortened_when_the_context_is_too_long(refusal: Any, delegate: Delegations) -> None:
    long, short = (calling(("test_echo", json.dumps({"word": char * 6_000}))) for char in "ab")
    outcome = await delegate(long, short, refusal, DONE)
    assert (outcome.ended, outcome.result) == ("answered", "Done.")
    assert "shortened" in [step.happening for step in outcome.steps]
    older, newest = [message["content"] for message in delegate.sent() if message["role"] == "tool"]
    assert len(older) < 2_500
    assert json.loads(older)["characters_left_out"] > 3_500
    assert len(newest) > 6_000


async def test_a_context_that_is_too_long_in_any_case_is_its_own_ending(delegate: Delegations) -> None:
    outcome = await delegate((400, {"error": {"message": FULL}}))
    assert (outcome.ended, outcome.stored) == ("out of context", None)
    assert FULL in outcome.why


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((404, {"error": {"message": "model 'scripted' not found"}}), "model 'scripted' not found"),
        ((400, {"error": {"message": "scripted does not support tools"}}), "scripted does not support tools"),
        ((200, {"error": {"message": "Provider returned error", "code": 502}}), "Provider returned error"),
        ((422, {"detail": [{"loc": ["body"], "msg": "extra fields not permitted"}]}), "extra fields not permitted"),
        ((400, [{"error": {"message": "Unknown name", "status": "INVALID_ARGUMENT"}}]), "Unknown name"),
    ],
    ids=["Ollama model", "Ollama tools", "OpenRouter", "Mistral", "Gemini"],
)
async def test_the_words_of_the_endpoint_reach_the_person(refusal: Any, words: str, delegate: Delegations) -> None:
    outcome = await delegate(refusal)
    assert (outcome.ended, outcome.stored) == ("cortex down", None)
    assert outcome.result.endswith(words)
    assert outcome.why == outcome.result


async def test_the_words_of_the_endpoint_reach_the_person_after_other_text(delegate: Delegations) -> None:
    outcome = await delegate({**GOOD, "content": "I will call it."}, (429, {"error": {"message": "Out of credits."}}))
    assert (outcome.ended, outcome.result) == ("cortex down", "I will call it.")
    assert "Out of credits." in outcome.why


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
async def test_an_answer_that_the_endpoint_broke_off_is_none(reason: str, delegate: Delegations) -> None:
    outcome = await delegate({"content": "Half", "finish_reason": reason})
    assert (outcome.ended, outcome.stored) == ("cortex down", None)
    assert reason in outcome.why


async def test_the_budget_of_tokens_counts_what_the_endpoint_reports(delegate: Delegations) -> None:
    usage = {"prompt_tokens": 4_000, "completion_tokens": 500, "total_tokens": 4_500}
    outcome = await delegate({**GOOD, "usage": usage}, limits=Limits(tokens=10_000))
    assert (outcome.ended, outcome.tokens) == ("out of tokens", 13_500)
    assert len(delegate.model.asked) == 3
    assert len(outcome.calls) == 2  # those of the last answer were not made


async def test_the_budget_of_tokens_is_estimated_where_the_endpoint_reports_none(delegate: Delegations) -> None:
    long = calling(("test_echo", json.dumps({"word": "x" * 8_000})))
    outcome = await delegate(long, limits=Limits(tokens=10_000))
    assert outcome.ended == "out of tokens"
    assert 4_000 < outcome.tokens <= 16_000
    assert outcome.tools_used == ["test.echo"]


async def test_a_budget_below_the_first_request_asks_nothing(delegate: Delegations) -> None:
    outcome = await delegate(DONE, limits=Limits(tokens=10))
    assert (outcome.ended, outcome.tokens, outcome.stored, delegate.model.asked) == ("out of tokens", 0, None, [])
