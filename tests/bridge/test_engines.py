"""What the bridge does when its engine dies, leaves, or refuses.

The scripted engine's next session is the next engine.
"""

import json
import signal
from pathlib import Path

import pytest

from memos_mcp.bridge.main import SILENT_ENGINES
from tests.bridge.scripted import (
    INITIALIZE,
    INITIALIZED,
    Client,
    Engine,
    Hearing,
    Message,
    Session,
    answer,
    call,
    lines,
    notification,
    request,
)

LIST = request("tools/list", "list")


def test_calls_in_flight_when_an_engine_dies_are_in_doubt_and_the_rest_is_asked_again(
    engine: Engine, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    asked = [call(0), call(1), LIST, call("1"), request("ping", 2)]
    client.say(*asked)
    assert session.hearing.messages(5) == asked
    session.say(answer(0))
    assert client.hear() == answer(0)
    session.close()
    assert [error_of(client.hear()) for _ in range(2)] == [(1, -32050), ("1", -32050)]

    following = engine.accept()
    assert following.greeting == session.greeting
    assert following.hear() == INITIALIZE
    following.say(notification("notifications/message"), answer("hello", serverInfo={"name": "another"}))
    assert following.hearing.messages(3) == [INITIALIZED, LIST, request("ping", 2)]
    following.say(answer("list", tools=[]), answer(2))
    assert [client.hear(), client.hear()] == [answer("list", tools=[]), answer(2)], "one handshake is enough"
    client.leaves()


def test_an_error_in_doubt_says_that_the_call_can_be_repeated(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    session.close()
    assert "Repeat it" in client.hear()["error"]["message"]


def test_what_the_client_has_not_confirmed_is_not_confirmed_to_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    client.say(INITIALIZE)
    session.hear()
    session.say(answer("hello"))
    client.hear()
    session.close()
    client.say(LIST)
    following = engine.accept()
    assert following.hear() == INITIALIZE
    following.say(answer("hello"))
    assert following.hear() == LIST


def test_a_handshake_in_flight_is_made_with_the_next_engine(engine: Engine, session: Session, client: Client) -> None:
    opening = [INITIALIZE, INITIALIZED, LIST]
    client.say(*opening)
    assert session.hearing.messages(3) == opening
    session.close()
    following = engine.accept()
    assert following.hearing.messages(3) == opening
    following.say(answer("hello"), answer("list"))
    assert client.hearing.messages(2) == [answer("hello"), answer("list")]
    following.close()
    client.say(call(1))
    third = engine.accept()
    assert third.hear() == INITIALIZE
    third.say(answer("hello"))
    assert third.hearing.messages(2) == [INITIALIZED, call(1)]


def test_a_call_that_was_never_sent_is_not_in_doubt(engine: Engine, session: Session, client: Client) -> None:
    client.shakes_hands(session)
    session.close()
    client.say(call(1), call(2))
    second = engine.accept()
    assert second.hear() == INITIALIZE
    second.close()  # before it has heard the calls
    third = engine.accept()
    assert third.hear() == INITIALIZE
    third.say(answer("hello"))
    assert third.hearing.messages(3) == [INITIALIZED, call(1), call(2)]
    third.say(answer(1), answer(2))
    assert client.hearing.messages(2) == [answer(1), answer(2)]
    client.leaves()


def test_half_an_answer_never_reaches_the_client(session: Session, client: Client) -> None:
    client.say(call(1))
    session.hear()
    session.write(lines(answer(1, content="x" * 100_000))[:-1])
    session.close()
    assert error_of(client.hear()) == (1, -32050)
    client.leaves()


def test_what_an_engine_said_before_it_died_is_heard_to_the_end(
    engine: Engine, session: Session, client: Client
) -> None:
    answers = [answer(number, content="x" * 1_000) for number in range(150)]
    client.say(*[call(number) for number in range(151)])
    session.hearing.messages(151)
    client.process.send_signal(signal.SIGSTOP)  # all of it is there when the bridge looks, and a call to send as well
    session.say(*answers)
    session.close()
    client.say(call("next"))
    client.process.send_signal(signal.SIGCONT)
    assert client.hearing.messages(150) == answers
    assert error_of(client.hear()) == (150, -32050)
    assert engine.accept().hear() == call("next")


def test_what_was_cancelled_gets_neither_an_error_nor_another_try(
    engine: Engine, session: Session, client: Client
) -> None:
    asked = [call(1), call(2), LIST, notification("notifications/cancelled", requestId=1)]
    client.say(*asked, notification("notifications/cancelled", requestId="list"))
    session.hearing.messages(5)
    session.close()
    assert error_of(client.hear()) == (2, -32050)
    client.say(call(3))
    assert engine.accept().hear() == call(3)


def test_an_engine_that_leaves_answers_what_is_under_way_and_the_next_one_the_rest(
    engine: Engine, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    client.say(call(1), LIST)
    session.hearing.messages(2)
    session.tell(answer="leaving")
    assert session.hearing.rest() == b"", "nothing more is sent to it"
    client.say(call(2))
    session.say(answer("list"), answer(1))
    assert client.hearing.messages(2) == [answer("list"), answer(1)]
    session.close()
    following = engine.accept()
    assert following.hear() == INITIALIZE
    following.say(answer("hello"))
    assert following.hearing.messages(2) == [INITIALIZED, call(2)]
    following.say(answer(2))
    assert client.hear() == answer(2)
    client.leaves()


def test_a_line_that_is_half_sent_is_finished_before_an_engine_leaves(
    engine: Engine, session: Session, client: Client
) -> None:
    big = call(1, content="x" * 2_000_000)
    client.say(big)
    assert session.hearing.has_something()
    session.tell(answer="leaving")
    client.say(call(2))
    assert session.hear() == big
    assert session.hearing.rest() == b""
    session.say(answer(1))
    assert client.hear() == answer(1)
    session.close()
    assert engine.accept().hear() == call(2)


def test_who_has_nothing_to_say_does_not_follow_an_engine_that_leaves(
    engine: Engine, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    session.tell(answer="leaving", reason="a newer one comes")
    assert session.hearing.rest() == b""
    session.close()
    client.leaves()
    assert not engine.is_sought()


def test_a_bridge_waits_without_work_while_an_engine_leaves(session: Session, client: Client) -> None:
    big = call(1, content="x" * 2_000_000)
    client.say(big, call(2))
    assert session.hearing.has_something()
    session.tell(answer="leaving")
    session.say(answer("early"))
    assert client.hear() == answer("early"), "so it has heard what came before, too"
    assert session.hear() == big
    assert session.hearing.rest() == b""
    before = ticks_of(client)
    with pytest.raises(TimeoutError):
        client.hearing.line(seconds=0.3)
    assert ticks_of(client) - before < 10


def test_an_engine_that_leaves_at_the_greeting_is_followed_to_the_next(engine: Engine, client: Client) -> None:
    client.say(call(1))
    for said in ({"answer": "leaving"}, {"answer": "what"}):
        engine.accept(**said)
    silent = engine.accept_silently()
    silent.close()
    blunt = engine.accept_silently()
    blunt.write(b"HTTP/1.1 400 Bad Request\n")
    assert engine.accept().hear() == call(1)


def test_a_refusal_is_told_with_its_reason_and_the_next_request_tries_again(engine: Engine, client: Client) -> None:
    engine.accept(answer="refused", reason="MEMOS_DATABASE_URL differs")
    people = Hearing(client.stderr.fileno())
    assert people.line() == b"memos-as: MEMOS_DATABASE_URL differs"
    client.say(INITIALIZE, notification("notifications/progress"))
    engine.accept(answer="refused", reason="it still differs")
    refused = client.hear()
    assert error_of(refused) == ("hello", -32051)
    assert "it still differs" in refused["error"]["message"]
    assert people.line() == b"memos-as: it still differs"
    client.say(INITIALIZE)
    session = engine.accept()
    assert session.hear() == INITIALIZE
    session.say(answer("hello"))
    assert client.hear() == answer("hello")
    client.leaves()


def test_an_engine_that_can_go_no_further_refuses_what_comes_after_what_it_has_begun(
    engine: Engine, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    client.say(call(1))
    session.hear()
    session.tell(answer="refused", reason="the database is newer")
    assert session.hearing.rest() == b""
    client.say(call(2))
    session.say(answer(1))
    assert client.hear() == answer(1)
    session.close()
    refused = client.hear()
    assert error_of(refused) == (2, -32051)
    assert "the database is newer" in refused["error"]["message"]
    client.say(call(3))
    following = engine.accept()
    assert following.hear() == INITIALIZE
    following.say(answer("hello"))
    assert following.hearing.messages(2) == [INITIALIZED, call(3)]


def test_a_confirmation_that_met_a_refusal_is_told_to_the_next_engine(
    engine: Engine, session: Session, client: Client
) -> None:
    client.say(INITIALIZE)
    session.hear()
    session.say(answer("hello"))
    client.hear()
    session.close()
    client.say(INITIALIZED, call(1))
    engine.accept(answer="refused", reason="not now")
    assert error_of(client.hear()) == (1, -32051)
    client.say(call(2))
    following = engine.accept()
    assert following.hear() == INITIALIZE
    following.say(answer("hello"))
    assert following.hearing.messages(2) == [INITIALIZED, call(2)]


def test_an_engine_that_does_not_take_the_session_over_is_not_asked_without_end(
    engine: Engine, session: Session, client: Client
) -> None:
    client.shakes_hands(session)
    session.close()
    client.say(call(1))
    following = engine.accept()
    following.hear()
    following.say({"jsonrpc": "2.0", "id": "hello", "error": {"code": -32602, "message": "another protocol"}})
    assert following.hearing.rest() == b""
    following.close()
    assert error_of(client.hear()) == (1, -32051)
    assert not engine.is_sought()


def test_a_request_that_kills_every_engine_is_refused_after_some(engine: Engine, client: Client) -> None:
    client.say(LIST)
    for _ in range(SILENT_ENGINES):
        session = engine.accept()
        assert session.hear() == LIST
        session.close()
    refused = client.hear()
    assert error_of(refused) == ("list", -32051)
    assert "again and again" in refused["error"]["message"]
    assert not engine.is_sought()
    client.say(call(1))
    assert engine.accept().hear() == call(1)


def test_engines_that_answer_between_their_deaths_are_asked_without_end(engine: Engine, client: Client) -> None:
    for number in range(2 * SILENT_ENGINES):
        client.say(request("ping", number), LIST)
        session = engine.accept()
        assert request("ping", number) in (session.hear(), session.hear())
        session.say(answer(number), answer("list"))
        assert client.hearing.messages(2) == [answer(number), answer("list")]
        session.close()
    client.leaves()


def error_of(message: Message) -> tuple[int | str, int]:
    assert "result" not in message, json.dumps(message)
    return message["id"], message["error"]["code"]


def ticks_of(client: Client) -> int:
    """Return how many hundredths of a second of processor time the bridge has used."""
    fields = Path(f"/proc/{client.process.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
