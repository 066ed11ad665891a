import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memos_mcp.bridge.pending import PendingRequests, answer_in, error_line, request_in

IDS = st.one_of(st.integers(), st.text())
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)

INITIALIZE = b'{"id":0,"method":"initialize"}\n'
INITIALIZED = b'{"method":"notifications/initialized"}\n'
WELCOME = b'{"jsonrpc":"2.0","id":0,"result":{}}'


def compact(message: object) -> bytes:
    """Write JSON as the engine does."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@given(IDS, st.sampled_from(["result", "error"]), VALUES)
@example('quote " and \\ and \n', "result", {})
@example(10**30, "error", {"result": 1})
def test_the_id_of_an_answer_is_what_json_says_however_it_is_written(
    request_id: int | str, outcome: str, value: Any
) -> None:
    message = {"jsonrpc": "2.0", "id": request_id, outcome: value}
    turned = dict(reversed(message.items()))
    for line in (
        compact(message),
        compact(turned),
        json.dumps(message).encode(),
        json.dumps(turned, indent=1).encode(),
    ):
        try:
            expected = json.loads(line)["id"]
        except ValueError:  # half a character: no engine writes it
            expected = None
        assert answer_in(line)[0] == expected
        assert expected is None or answer_in(line)[1] is (outcome == "result")


@given(IDS, st.text())
def test_a_request_is_no_answer_and_an_answer_no_request(request_id: int | str, method: str) -> None:
    asked = json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method}).encode()
    answered = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": {}}).encode()
    assert answer_in(asked)[0] is None
    assert request_in(asked) == request_id
    assert request_in(answered) is None


@given(st.binary())
@example(b'{"jsonrpc":"2.0","id":"\xff","result":{}}')
@example(b'{"jsonrpc":"2.0","id":"\\x","result":{}}')
@example(b'{"jsonrpc":"2.0","id":01,"result":{}}')
@example(b'{"jsonrpc":"2.0","id":' + b"1" * 5_000 + b',"result":{}}')
@example(b"[" * 100_000)
@example(b'{"id": true, "result": {}}')
@example(b'{"id": [1], "method": "tools/call"}')
@example(b'{"method": "notifications/cancelled", "params": {"requestId": []}}')
@example(b'{"method": "notifications/cancelled", "params": 7}')
def test_what_is_no_message_disturbs_nothing(line: bytes) -> None:
    calls = PendingRequests()
    calls.sent(line)
    calls.answered(line)
    assert answer_in(line)[0] is None
    assert request_in(line) is None
    assert not calls.under_way


@given(
    st.lists(st.tuples(IDS, st.sampled_from(["tools/call", "tools/list", "ping"])), unique_by=lambda asked: asked[0])
)
def test_what_is_abandoned_is_exactly_what_was_asked_and_not_answered(asked: list[tuple[int | str, str]]) -> None:
    calls = PendingRequests()
    sent = [json.dumps({"id": request_id, "method": method}).encode() for request_id, method in asked]
    for line in sent:
        calls.sent(line)
    for request_id, _ in asked[::3]:
        calls.answered(json.dumps({"id": request_id, "result": {}}).encode())
    open_ = [pair for index, pair in enumerate(zip(asked, sent, strict=True)) if index % 3]
    again = [line for (_, method), line in open_ if method != "tools/call"]
    in_doubt = [request_id for (request_id, method), _ in open_ if method == "tools/call"]
    assert calls.abandoned() == (again, in_doubt)
    assert calls.abandoned() == ([], [])
    assert not calls.under_way


def test_the_ids_7_and_text_7_are_two() -> None:
    calls = PendingRequests()
    calls.sent(b'{"id": 7, "method": "tools/call"}')
    calls.sent(b'{"id": "7", "method": "tools/call"}')
    calls.answered(b'{"id": 7, "result": {}}')
    assert calls.abandoned() == ([], ["7"])


def test_a_cancelled_request_is_neither_in_doubt_nor_asked_again() -> None:
    calls = PendingRequests()
    calls.sent(b'{"id": 7, "method": "tools/call"}')
    calls.sent(b'{"id": 8, "method": "tools/list"}')
    calls.sent(b'{"method": "notifications/cancelled", "params": {"requestId": 7}}')
    calls.sent(b'{"method": "notifications/cancelled", "params": {"requestId": 8}}')
    assert calls.abandoned() == ([], [])


def test_a_handshake_is_kept_when_it_was_answered_and_confirmed_when_the_client_has_said_so() -> None:
    calls = PendingRequests()
    calls.sent(INITIALIZE)
    assert calls.handshake is None
    calls.answered(WELCOME)
    assert calls.handshake == (0, INITIALIZE, False)
    calls.sent(INITIALIZED)
    assert calls.handshake == (0, INITIALIZE, True)


def test_a_handshake_that_failed_is_not_kept() -> None:
    calls = PendingRequests()
    calls.sent(INITIALIZE)
    calls.answered(b'{"jsonrpc":"2.0","id":0,"error":{}}')
    assert calls.handshake is None


@pytest.mark.parametrize("answered", [True, False])
def test_a_confirmation_that_came_before_the_answer_is_not_lost(answered: bool) -> None:
    calls = PendingRequests()
    for line in (INITIALIZE, INITIALIZED, b'{"id": 1, "method": "tools/list"}'):
        calls.sent(line)
    if answered:
        calls.answered(WELCOME)
        assert calls.handshake == (0, INITIALIZE, True)
    else:
        assert calls.abandoned() == ([INITIALIZE, INITIALIZED, b'{"id": 1, "method": "tools/list"}'], [])
        assert calls.abandoned() == ([], [])


@given(IDS | st.none(), st.text())
def test_an_error_is_one_line_of_json(request_id: int | str | None, message: str) -> None:
    line = error_line(request_id, -32050, message)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) == {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32050, "message": message}}
