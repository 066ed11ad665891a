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
    """Return JSON as the engine writes it."""
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@given(IDS, st.sampled_from(["result", "error"]), VALUES)
@example('quote " and \\ and \n', "result", {})
@example(10**30, "error", {"result": 1})
def test_the_id_of_an_answer_is_read_from_json_in_any_notation(request_id: int | str, outcome: str, value: Any) -> None:
    message = {"jsonrpc": "2.0", "id": request_id, outcome: value}
    reordered = dict(reversed(message.items()))
    for line in (
        compact(message),
        compact(reordered),
        json.dumps(message).encode(),
        json.dumps(reordered, indent=1).encode(),
    ):
        try:
            expected = json.loads(line)["id"]
        except ValueError:  # an unpaired surrogate: no engine writes it
            expected = None
        assert answer_in(line)[0] == expected
        assert expected is None or answer_in(line)[1] is (outcome == "result")


@given(IDS, st.text())
def test_requests_and_answers_are_not_confused(request_id: int | str, method: str) -> None:
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
def test_other_lines_are_ignored(line: bytes) -> None:
    requests = PendingRequests()
    requests.record_sent(line)
    requests.record_answer(line)
    assert answer_in(line)[0] is None
    assert request_in(line) is None
    assert not requests.under_way


@given(
    st.lists(st.tuples(IDS, st.sampled_from(["tools/call", "tools/list", "ping"])), unique_by=lambda asked: asked[0])
)
def test_exactly_the_unanswered_requests_are_abandoned(asked: list[tuple[int | str, str]]) -> None:
    requests = PendingRequests()
    sent = [json.dumps({"id": request_id, "method": method}).encode() for request_id, method in asked]
    for line in sent:
        requests.record_sent(line)
    for request_id, _ in asked[::3]:
        requests.record_answer(json.dumps({"id": request_id, "result": {}}).encode())
    open_ = [pair for index, pair in enumerate(zip(asked, sent, strict=True)) if index % 3]
    resent = [line for (_, method), line in open_ if method != "tools/call"]
    unknown = [request_id for (request_id, method), _ in open_ if method == "tools/call"]
    assert requests.abandon() == (resent, unknown)
    assert requests.abandon() == ([], [])
    assert not requests.under_way


def test_an_integer_id_and_the_same_text_differ() -> None:
    requests = PendingRequests()
    requests.record_sent(b'{"id": 7, "method": "tools/call"}')
    requests.record_sent(b'{"id": "7", "method": "tools/call"}')
    requests.record_answer(b'{"id": 7, "result": {}}')
    assert requests.abandon() == ([], ["7"])


def test_a_cancelled_request_is_neither_answered_nor_sent_again() -> None:
    requests = PendingRequests()
    requests.record_sent(b'{"id": 7, "method": "tools/call"}')
    requests.record_sent(b'{"id": 8, "method": "tools/list"}')
    requests.record_sent(b'{"method": "notifications/cancelled", "params": {"requestId": 7}}')
    requests.record_sent(b'{"method": "notifications/cancelled", "params": {"requestId": 8}}')
    assert requests.abandon() == ([], [])


def test_a_handshake_is_kept_once_answered_and_confirmed_by_the_client() -> None:
    requests = PendingRequests()
    requests.record_sent(INITIALIZE)
    assert requests.handshake is None
    requests.record_answer(WELCOME)
    assert requests.handshake == (0, INITIALIZE, False)
    requests.record_sent(INITIALIZED)
    assert requests.handshake == (0, INITIALIZE, True)


def test_a_failed_handshake_is_not_kept() -> None:
    requests = PendingRequests()
    requests.record_sent(INITIALIZE)
    requests.record_answer(b'{"jsonrpc":"2.0","id":0,"error":{}}')
    assert requests.handshake is None


@pytest.mark.parametrize("answered", [True, False])
def test_a_confirmation_before_the_answer_is_not_lost(answered: bool) -> None:
    requests = PendingRequests()
    for line in (INITIALIZE, INITIALIZED, b'{"id": 1, "method": "tools/list"}'):
        requests.record_sent(line)
    if answered:
        requests.record_answer(WELCOME)
        assert requests.handshake == (0, INITIALIZE, True)
    else:
        assert requests.abandon() == ([INITIALIZE, INITIALIZED, b'{"id": 1, "method": "tools/list"}'], [])
        assert requests.abandon() == ([], [])


@given(IDS | st.none(), st.text())
def test_an_error_is_one_line_of_json(request_id: int | str | None, message: str) -> None:
    line = error_line(request_id, -32050, message)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) == {"jsonrpc": "2.0", "id": request_id, "error": {"code": -32050, "message": message}}
