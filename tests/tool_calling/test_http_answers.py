import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.credentials import Credential
from memos_mcp.tool_calling.http_answers import BodyEnd, HttpAnswer, answer_of, shown_body
from memos_mcp.tool_calling.outcomes import ToolAnswer
from memos_mcp.tool_calling.requests import HttpRequest

REPLY = {"type": "object", "properties": {"reply": {"type": "string"}}, "required": ["reply"]}
KEY = Credential("weather", ["host"], "bearer", None, SecretStr("canary-4f9c21"))


def read(
    body: Any = b"",
    content_type: Any = "application/json",
    schema: Any = None,
    *,
    status: Any = 200,
    end: Any = "complete",
    method: Any = "POST",
    credential: Any = None,
    unsent: Any = (),
    **headers: str,
) -> ToolAnswer:
    answer = HttpAnswer(status, httpx2.Headers({"content-type": content_type, **headers}), body, end)
    request = HttpRequest(method, "https://host/", {}, None, unsent)
    return answer_of(CalledTool("t", "https://host/", method, None, schema), request, answer, credential)


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        ('{"a": "ü"}'.encode(), "application/json", {"a": "ü"}),
        ('{"a": "ü"}'.encode("latin-1"), "application/json; charset=ISO-8859-1", {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-16"), "application/json", {"a": "ü"}),
        ('{"a": "ü"}'.encode("utf-8-sig"), "application/json; charset=ascii", {"a": "ü"}),
        ('{"a": "ü"}'.encode(), 'application/json; charset="no-such"', {"a": "ü"}),
        (b'{"a": "%E4"}', "application/json; charset=punycode", {"a": "%E4"}),
        ("grün".encode("cp1252"), "text/plain; charset=windows-1252", "grün"),
        (b"5", "text/plain", "5"),
        (b"5", "application/json", 5),
        (b'{"a": 1}', "", {"a": 1}),
        (b"no json", "", "no json"),
        (b'{"a": 1e999}', "application/json", '{"a": 1e999}'),
    ],
)
def test_a_body_is_read_by_its_mark_its_charset_or_as_utf_8(body: bytes, content_type: str, value: Any) -> None:
    assert read(body, content_type) == ToolAnswer("t", value, status=200)


def test_a_text_is_the_value_where_the_schema_says_so() -> None:
    assert read(b"5", "text/plain", {"type": "string"}) == ToolAnswer("t", "5", status=200)
    assert read(b'{"reply": "a"}', "text/html", REPLY) == ToolAnswer("t", {"reply": "a"}, status=200)
    assert "is not JSON" in str(read(b"sorry", "text/html", REPLY).note)


@pytest.mark.parametrize("status", [200, 201, 204, 205])
def test_an_answer_without_a_body_is_done(status: int) -> None:
    answer = read(schema=REPLY, status=status)
    assert answer == ToolAnswer("t", None, f"done, but its answer has no body (status {status})", status)


def test_the_location_of_what_was_created_is_named() -> None:
    created = read(status=201, location="/pets/5")
    assert created.note == "done, but its answer has no body (status 201), only a location: /pets/5"
    seen = read(b"see there", status=303, location="/pets/5?key=canary-4f9c21", credential=KEY)
    assert seen.note == "done, but its result is elsewhere (status 303): /pets/5?key=[credential weather]"


def test_an_accepted_call_is_not_known_to_be_done() -> None:
    assert read(b"{}", status=202).note == "accepted, but not known to be done (status 202)"


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        (REPLY, "does not agree with its response_schema: at reply: 5 is not of type 'string'"),
        ({"$ref": "#/nowhere"}, "its response_schema cannot be used: it refers to something that is not in it"),
        ({"type": "wrong"}, "its response_schema cannot be used: it is not JSON Schema"),
    ],
)
def test_an_answer_that_does_not_match_is_done_all_the_same(schema: dict[str, Any], note: str) -> None:
    answer = read(b'{"reply": 5}', schema=schema)
    assert answer.value == {"reply": 5}
    assert str(answer.note).startswith("done, but its ")
    assert note in str(answer.note)


def test_a_write_only_property_is_not_required_of_an_answer() -> None:
    schema = {"properties": {"password": {"writeOnly": True}}, "required": ["password"]}
    assert read(b"{}", schema=schema).note is None


@pytest.mark.parametrize(
    ("end", "note"),
    [
        ("too large", "its answer is larger than 9 bytes"),
        ("too slow", "its answer did not end in time"),
        ("broken off", "its answer broke off after 9 bytes"),
    ],
)
def test_an_answer_that_was_cut_is_given_as_far_as_it_came(end: BodyEnd, note: str) -> None:
    answer = read('{"a": "ü"'.encode()[:-2], schema=REPLY, end=end)
    assert answer.value == '{"a": "'
    assert f"done, but {note}"[:30] in str(answer.note)


def test_events_are_given_unchanged() -> None:
    body = b'data: {"a": 1}\n\ndata: [DONE]\n\n'
    assert read(body, "text/event-stream", REPLY) == ToolAnswer("t", body.decode(), status=200)


@pytest.mark.parametrize(
    "answer",
    [
        read(status=201, location="/canary"),
        read(status=303, location="/canary"),
        read(b"\xff", "image/canary"),
        read(b"x", **{"content-encoding": "canary"}),
        read(b'{"reply": ["canary"]}', schema=REPLY),
    ],
    ids=["created", "elsewhere", "no text", "compressed", "misfit"],
)
def test_the_reason_holds_nothing_that_the_tool_wrote(answer: ToolAnswer) -> None:
    assert "canary" in str(answer.note)
    assert str(answer.reason).startswith("done, but its ")
    assert "canary" not in str(answer.reason)


def test_a_compressed_answer_is_not_read() -> None:
    answer = read(b"\x1f\x8b", **{"content-encoding": "gzip"})
    assert answer.value is None
    assert str(answer.note).startswith("done, but its answer is compressed")
    assert str(answer.note).endswith(": gzip")


def test_an_answer_that_is_no_text_is_named_and_not_shown() -> None:
    answer = read(b"\x89PNG\xff", "image/png", REPLY)
    assert (answer.value, answer.note) == (
        None,
        "done, but its answer of 5 bytes is no text and is not shown: image/png",
    )
    assert read(b"a\xff", "text/plain").note == "done, but what is not utf-8 in its answer is shown as \ufffd"


def test_a_head_has_its_headers() -> None:
    answer = read(method="HEAD", **{"x-total": "5", "set-cookie": "session=1"})
    assert answer.value == {"content-type": "application/json", "x-total": "5"}


def test_read_only_arguments_that_were_not_sent_are_named() -> None:
    assert "properties were not sent: pet/id" in str(read(b"{}", unsent=["pet/id"]).note)


@pytest.mark.parametrize("depth", [100, 100_000])
def test_json_that_is_too_deep_is_text(depth: int) -> None:
    text = "[" * depth + "]" * depth
    assert json.dumps(read(text.encode(), credential=KEY).value)


def test_a_secret_is_masked_before_anything_is_cut_or_compared() -> None:
    long = {"reply": ["canary-4f9c21"] * 50}
    answer = read(json.dumps(long).encode(), schema=REPLY, credential=KEY)
    assert "canary" not in f"{answer}"
    ends: list[tuple[bytes, BodyEnd]] = [(b"x" * 295 + b"canary-4f9c21", "complete"), (b"canary-4f9", "too large")]
    for body, end in ends:
        refused = HttpAnswer(500, httpx2.Headers(), body, end)
        assert "canary" not in shown_body(refused, KEY)


@given(
    st.binary(max_size=40) | st.text(max_size=20).map(str.encode),
    st.sampled_from(
        ["", "application/json", "text/plain; charset=utf-16", "text/html; charset=\x00", "image/png", ";"]
    ),
    st.none() | st.sampled_from([{"$ref": None}, {"type": []}, {"$ref": "#"}, {"nullable": 5}, {"writeOnly": {}}]),
    st.integers(200, 299),
    st.sampled_from(["complete", "too large", "too slow", "broken off"]),
)
def test_any_bytes_with_a_successful_status_are_an_answer(
    body: bytes, content_type: str, schema: dict[str, Any] | None, status: int, end: BodyEnd
) -> None:
    assert read(body, content_type, schema, status=status, end=end, credential=KEY).status == status
