import json

from memos_mcp.orchestrator.call_outcomes import CallOutcome, call_outcome
from memos_mcp.orchestrator.conversation import estimated_tokens, shortened
from memos_mcp.orchestrator.cortex import Message, Thought, ToolCall
from memos_mcp.orchestrator.payload import KnownTool, as_data
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure

CALL = Message("assistant", "", [ToolCall("1", "t", '{"a": 1}')])


def answer(chars: int) -> Message:
    return Message("tool", as_data({"answer": "<" * chars}), call_id="1")


def test_older_answers_are_shortened_first_and_both_down_to_a_limit() -> None:
    messages = [Message("system", "x" * 9_000), Message("user", "Do it."), CALL, answer(5_000), CALL, answer(5_000)]
    older, newest = [], []
    while (shorter := shortened(messages)) is not None:
        messages = shorter
        older.append(len(json.loads(messages[3].text)["answer_begins"]))
        newest.append(len(json.loads(messages[5].text).get("answer_begins", "")))
    assert (older, newest) == ([2_000, 400, 100, 100], [0, 4_000, 1_000, 250])
    assert len(messages[0].text) == 9_000
    assert messages[2] is CALL


def test_a_shortened_answer_says_how_much_is_missing() -> None:
    messages = [CALL, answer(5_000), CALL, Message("tool", "{}", call_id="1")]
    first = shortened(messages)
    assert first is not None
    second = shortened(first)
    assert second is not None
    whole = len(messages[1].text)
    for message in (first[1], second[1]):
        shown = json.loads(message.text)
        assert len(shown["answer_begins"]) + shown["characters_left_out"] == whole
        assert "<" not in message.text


def test_the_note_of_an_answer_survives_its_shortening() -> None:
    noted = Message("tool", as_data({"answer": "x" * 5_000, "note": "done, but"}), call_id="1")
    shorter = shortened([CALL, noted, CALL, answer(10)])
    assert shorter is not None
    assert json.loads(shorter[1].text)["note"] == "done, but"


def test_nothing_is_shortened_where_no_tool_answered_at_length() -> None:
    assert shortened([Message("user", "x" * 50_000), CALL, Message("tool", "{}", call_id="1")]) is None


def test_tokens_are_estimated_from_messages_schemas_and_the_answer() -> None:
    tool = KnownTool("t", "T", "x" * 400, "http://t/", {"type": "object", "description": "y" * 400})
    messages = [Message("user", "z" * 400)]
    request = estimated_tokens(messages, [tool])
    assert 300 <= request < 330
    assert 400 <= estimated_tokens(messages, [tool], Thought("a" * 400)) - request + 300 < 430


def test_an_answer_worked_and_a_failure_did_not() -> None:
    assert call_outcome(ToolAnswer("t", None), 5) == CallOutcome("t", True, None, 5)
    failed = call_outcome(ToolFailure("t", "It did not answer within 30 s.", retryable=True), 30_000)
    assert failed == CallOutcome("t", False, "It did not answer within 30 s.", 30_000)


def test_wrong_arguments_and_a_missing_set_up_do_not_count_against_a_tool() -> None:
    assert call_outcome(ToolFailure("t", "The arguments are not JSON.", cause="arguments"), 1) is None
    assert call_outcome(ToolFailure("t", "Its host is not one that may be called.", cause="setup"), 1) is None
