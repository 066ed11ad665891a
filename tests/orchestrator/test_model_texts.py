"""What a model writes: thinking, calls as text, and arguments."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.orchestrator.call_arguments import mended
from memos_mcp.orchestrator.function_schemas import function_parameters
from memos_mcp.orchestrator.thinking import without_thinking
from memos_mcp.orchestrator.written_calls import written_calls

PARTS = [
    "<think>", "</think>", "[THINK]", "`", "```", "\n", "a", "{", "}", '"name"', ":", '"echo"', ",", '"arguments"', "[",
    "]", "<tool_call>", "</tool_call>", "<function=echo>", "</function>", "<parameter=a>", "</parameter>", "echo", "(",
    ")", "[TOOL_CALLS]", "<|channel|>final<|message|>", "<|python_tag|>", "=", "1", "'", "\\",
]  # fmt: skip
TEXTS = st.text() | st.lists(st.sampled_from(PARTS), max_size=12).map("".join)


def is_known(name: str) -> bool:
    return name == "echo"


@given(TEXTS)
def test_any_text_is_read_without_an_error(text: str) -> None:
    unclosed = text.replace("/think", "").replace("<|channel|>", "")
    assert without_thinking(f"<think>{unclosed}") == ""
    without_thinking(text)
    found = written_calls(text, is_known)
    assert found is None or found.unclear is None or found.calls == ()
    mended(text, {})


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("The tag `<think>` opens it.", "The tag `<think>` opens it."),
        ("```xml\n<think>a</think>\n```", "```xml\n<think>a</think>\n```"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<think>see `</think>", ""),
        ("One.<think>a</think> Two.<think>b</think>", "One. Two."),
        ("1 < 2 and a <thinker> is fine", "1 < 2 and a <thinker> is fine"),
        ("Done.<|im_end|>\n<|endoftext|>", "Done."),
    ],
)
def test_only_thinking_is_removed(text: str, rest: str) -> None:
    assert without_thinking(text) == rest


def test_several_calls_of_one_text_are_all_read_or_none() -> None:
    call = '<tool_call>{"name": "echo", "arguments": {"a": 1}}</tool_call>'
    both = written_calls(f"First.{call}\n{call.replace('1', '2')}", is_known)
    assert both is not None
    assert (both.text, list(both.calls)) == ("First.", [("echo", {"a": 1}), ("echo", {"a": 2})])
    half = written_calls(f'{call}<tool_call>{{"name": "ech', is_known)
    assert half is not None
    assert (half.calls, half.unclear) == ((), "it cannot be read")


def test_the_definition_of_a_function_is_no_call() -> None:
    definition = {"name": "echo", "description": "Echo.", "parameters": {"type": "object", "properties": {}}}
    for text in (json.dumps(definition), json.dumps({"name": "echo", "parameters": definition["parameters"]})):
        found = written_calls(text, is_known)
        assert found is not None
        assert found.calls == ()


def test_python_is_a_call_only_of_a_known_tool_with_values() -> None:
    assert written_calls('print(end="x")', is_known) is None
    assert written_calls("echo(a=input())", is_known) is None
    found = written_calls('[echo(a="x", b=[1, {"c": None}])]', is_known)
    assert found is not None
    assert found.calls == [("echo", {"a": "x", "b": [1, {"c": None}]})]


SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "flag": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "integer"}},
        "note": {"type": "string"},
        "maybe": {"type": ["string", "null"]},
        "inner": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "free": {},
    },
    "required": ["note"],
}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"count": "3"}, {"count": 3}),
        ({"count": "3.5"}, {"count": "3.5"}),
        ({"count": 3.0}, {"count": 3}),
        ({"share": "1"}, {"share": 1}),
        ({"flag": "True"}, {"flag": True}),
        ({"flag": 1}, {"flag": 1}),
        ({"tags": "[1, 2]"}, {"tags": [1, 2]}),
        ({"tags": ["1"]}, {"tags": [1]}),
        ({"tags": ""}, {}),
        ({"note": "5"}, {"note": "5"}),
        ({"note": None, "maybe": None, "free": None}, {"note": None, "maybe": None, "free": None}),
        ({"inner": '{"x": "1"}'}, {"inner": {"x": 1}}),
        ({"inner": {"x": None}}, {"inner": {"x": None}}),
        ({"inner": None, "count": None}, {}),
        ({"either": "5"}, {"either": "5"}),
        ({"unknown": "5"}, {"unknown": "5"}),
        ({"note": "a", "arguments": {}}, {"note": "a", "arguments": {}}),
    ],
)
def test_a_value_is_converted_only_to_the_one_type_that_is_possible(written: Any, meant: Any) -> None:
    parameters = function_parameters(SCHEMA)
    assert json.loads(mended(json.dumps(written), parameters)) == meant
    assert json.loads(mended(written, parameters)) == meant


def test_arguments_that_need_no_mending_stay_as_they_were_written() -> None:
    written = '{ "count":3,\n "note" : "\\u00e9" }'
    assert mended(written, function_parameters(SCHEMA)) == written


def test_a_line_break_within_a_text_is_kept() -> None:
    assert json.loads(mended('{"note": "a\nb"}', SCHEMA)) == {"note": "a\nb"}


def test_a_wrapper_that_is_a_property_of_the_tool_is_kept() -> None:
    schema = {"type": "object", "properties": {"input": {"type": "object"}}}
    assert json.loads(mended('{"input": {"input": 1}}', schema)) == {"input": {"input": 1}}
