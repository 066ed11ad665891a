"""What the bridge does when its engine crashes, stops or refuses it. Each session stands for another engine."""

import json
import signal
from pathlib import Path

import pytest

from memos_mcp.bridge.main import MAX_SILENT_ENGINES
from tests.bridge.scripted import (
    INITIALIZE,
    INITIALIZED,
    Client,
    Engine,
    LineReader,
    Message,
    Session,
    answer,
    call,
    lines,
    notification,
    request,
)

LIST = request("tools/list", "list")


def test_calls_under_way_in_a_crash_get_an_error_and_other_requests_are_sent_again(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    asked = [call(0), call(1), LIST, call("1"), request("ping", 2)]
    client.send(*asked)
    assert session.reader.messages(5) == asked
    session.send(answer(0))
    assert client.read() == answer(0)
    session.close()
    assert [error_of(client.read()) for _ in range(2)] == [(1, -32050), ("1", -32050)]

    following = engine.accept()
    assert following.request == session.request
    assert following.read() == INITIALIZE
    following.send(notification("notifications/message"), answer("hello", serverInfo={"name": "another"}))
    assert following.reader.messages(3) == [INITIALIZED, LIST, request("ping", 2)]
    following.send(answer("list", tools=[]), answer(2))
    assert [client.read(), client.read()] == [answer("list", tools=[]), answer(2)], (
        "the client gets one answer to its handshake"
    )
    client.close()


def test_the_error_after_a_crash_asks_to_repeat_the_call(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    session.close()
    assert "Repeat it" in client.read()["error"]["message"]


def test_an_unconfirmed_handshake_is_not_confirmed_to_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    client.send(INITIALIZE)
    session.read()
    session.send(answer("hello"))
    client.read()
    session.close()
    client.send(LIST)
    following = engine.accept_again()
    assert following.read() == LIST


def test_a_handshake_under_way_in_a_crash_is_made_with_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    opening = [INITIALIZE, INITIALIZED, LIST]
    client.send(*opening)
    assert session.reader.messages(3) == opening
    session.close()
    following = engine.accept()
    assert following.reader.messages(3) == opening
    following.send(answer("hello"), answer("list"))
    assert client.reader.messages(2) == [answer("hello"), answer("list")]
    following.close()
    client.send(call(1))
    third = engine.accept_again()
    assert third.reader.messages(2) == [INITIALIZED, call(1)]


def test_a_call_that_was_never_sent_is_sent_to_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    session.close()
    client.send(call(1), call(2))
    second = engine.accept()
    assert second.read() == INITIALIZE
    second.close()  # before it has read the calls
    third = engine.accept_again()
    assert third.reader.messages(3) == [INITIALIZED, call(1), call(2)]
    third.send(answer(1), answer(2))
    assert client.reader.messages(2) == [answer(1), answer(2)]
    client.close()


def test_a_partial_answer_never_reaches_the_client(session: Session, client: Client) -> None:
    client.send(call(1))
    session.read()
    session.write(lines(answer(1, content="x" * 100_000))[:-1])
    session.close()
    assert error_of(client.read()) == (1, -32050)
    client.close()


def test_answers_written_before_a_crash_are_read_completely(engine: Engine, session: Session, client: Client) -> None:
    answers = [answer(number, content="x" * 1_000) for number in range(150)]
    client.send(*[call(number) for number in range(151)])
    session.reader.messages(151)
    client.process.send_signal(
        signal.SIGSTOP
    )  # all of it is readable when the bridge continues, and there is a call to send
    session.send(*answers)
    session.close()
    client.send(call("next"))
    client.process.send_signal(signal.SIGCONT)
    assert client.reader.messages(150) == answers
    assert error_of(client.read()) == (150, -32050)
    assert engine.accept().read() == call("next")


def test_a_cancelled_request_is_neither_answered_nor_sent_again(
    engine: Engine, session: Session, client: Client
) -> None:
    asked = [call(1), call(2), LIST, notification("notifications/cancelled", requestId=1)]
    client.send(*asked, notification("notifications/cancelled", requestId="list"))
    session.reader.messages(5)
    session.close()
    assert error_of(client.read()) == (2, -32050)
    client.send(call(3))
    assert engine.accept().read() == call(3)


def test_a_stopping_engine_answers_calls_under_way_and_the_next_engine_the_others(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    client.send(call(1), LIST)
    session.reader.messages(2)
    session.send_private(answer="leaving")
    assert session.reader.rest() == b"", "nothing more is sent to this engine"
    client.send(call(2))
    session.send(answer("list"), answer(1))
    assert client.reader.messages(2) == [answer("list"), answer(1)]
    session.close()
    following = engine.accept_again()
    assert following.reader.messages(2) == [INITIALIZED, call(2)]
    following.send(answer(2))
    assert client.read() == answer(2)
    client.close()


def test_a_partly_sent_line_is_completed_before_the_engine_stops(
    engine: Engine, session: Session, client: Client
) -> None:
    big = call(1, content="x" * 2_000_000)
    client.send(big)
    assert session.reader.wait_readable()
    session.send_private(answer="leaving")
    client.send(call(2))
    assert session.read() == big
    assert session.reader.rest() == b""
    session.send(answer(1))
    assert client.read() == answer(1)
    session.close()
    assert engine.accept().read() == call(2)


def test_an_idle_bridge_does_not_connect_when_its_engine_stops(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    session.send_private(answer="leaving", reason="a newer one comes")
    assert session.reader.rest() == b""
    session.close()
    client.close()
    assert not engine.has_waiting_client()


def test_the_bridge_uses_no_processor_time_while_its_engine_stops(session: Session, client: Client) -> None:
    big = call(1, content="x" * 2_000_000)
    client.send(big, call(2))
    assert session.reader.wait_readable()
    session.send_private(answer="leaving")
    session.send(answer("early"))
    assert client.read() == answer("early"), "the bridge has read the lines before it too"
    assert session.read() == big
    assert session.reader.rest() == b""
    before = ticks_of(client)
    with pytest.raises(TimeoutError):
        client.reader.line(seconds=0.3)
    assert ticks_of(client) - before < 10


def test_the_bridge_connects_again_when_an_engine_stops_during_the_handshake(engine: Engine, client: Client) -> None:
    client.send(call(1))
    for payload in ({"answer": "leaving"}, {"answer": "what"}):
        engine.accept(**payload)
    silent = engine.accept_silently()
    silent.close()
    blunt = engine.accept_silently()
    blunt.write(b"HTTP/1.1 400 Bad Request\n")
    assert engine.accept().read() == call(1)


def test_a_refusal_is_reported_with_its_reason_and_the_next_request_connects_again(
    engine: Engine, client: Client
) -> None:
    engine.accept(answer="refused", reason="MEMOS_DATABASE_URL differs")
    stderr = LineReader(client.stderr.fileno())
    assert stderr.line() == b"memos-as: MEMOS_DATABASE_URL differs"
    client.send(INITIALIZE, notification("notifications/progress"))
    engine.accept(answer="refused", reason="it still differs")
    refused = client.read()
    assert error_of(refused) == ("hello", -32051)
    assert "it still differs" in refused["error"]["message"]
    assert stderr.line() == b"memos-as: it still differs"
    client.send(INITIALIZE)
    session = engine.accept()
    assert session.read() == INITIALIZE
    session.send(answer("hello"))
    assert client.read() == answer("hello")
    client.close()


def test_a_failed_engine_finishes_calls_under_way_and_later_calls_are_refused(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    client.send(call(1))
    session.read()
    session.send_private(answer="refused", reason="the database is newer")
    assert session.reader.rest() == b""
    client.send(call(2))
    session.send(answer(1))
    assert client.read() == answer(1)
    session.close()
    refused = client.read()
    assert error_of(refused) == (2, -32051)
    assert "the database is newer" in refused["error"]["message"]
    client.send(call(3))
    following = engine.accept_again()
    assert following.reader.messages(2) == [INITIALIZED, call(3)]


def test_a_confirmation_that_was_refused_is_sent_to_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    client.send(INITIALIZE)
    session.read()
    session.send(answer("hello"))
    client.read()
    session.close()
    client.send(INITIALIZED, call(1))
    engine.accept(answer="refused", reason="not now")
    assert error_of(client.read()) == (1, -32051)
    client.send(call(2))
    following = engine.accept_again()
    assert following.reader.messages(2) == [INITIALIZED, call(2)]


def test_an_engine_that_rejects_the_replayed_handshake_is_not_asked_again(
    engine: Engine, session: Session, client: Client
) -> None:
    client.initialize(session)
    session.close()
    client.send(call(1))
    following = engine.accept()
    following.read()
    following.send({"jsonrpc": "2.0", "id": "hello", "error": {"code": -32602, "message": "another protocol"}})
    assert following.reader.rest() == b""
    following.close()
    assert error_of(client.read()) == (1, -32051)
    assert not engine.has_waiting_client()


def test_a_request_that_crashes_every_engine_is_refused_after_some(engine: Engine, client: Client) -> None:
    client.send(LIST)
    for _ in range(MAX_SILENT_ENGINES):
        session = engine.accept()
        assert session.read() == LIST
        session.close()
    refused = client.read()
    assert error_of(refused) == ("list", -32051)
    assert "keeps exiting before it answers" in refused["error"]["message"]
    assert not engine.has_waiting_client()
    client.send(call(1))
    assert engine.accept().read() == call(1)


def test_engines_that_answer_before_they_crash_are_always_asked_again(engine: Engine, client: Client) -> None:
    for number in range(2 * MAX_SILENT_ENGINES):
        client.send(request("ping", number), LIST)
        session = engine.accept()
        assert request("ping", number) in (session.read(), session.read())
        session.send(answer(number), answer("list"))
        assert client.reader.messages(2) == [answer(number), answer("list")]
        session.close()
    client.close()


def error_of(message: Message) -> tuple[int | str, int]:
    assert "result" not in message, json.dumps(message)
    return message["id"], message["error"]["code"]


def ticks_of(client: Client) -> int:
    """Return the processor time that the bridge has used, in hundredths of a second."""
    fields = Path(f"/proc/{client.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
