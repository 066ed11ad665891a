import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import (
    MAX_INTEGER,
    check_json,
    check_labels,
    check_name,
    check_text,
    check_time,
)
from tests.json_objects import OBJECTS


@given(st.text())
def test_a_text_is_stored_exactly_or_refused_with_the_name_of_its_field(text: str) -> None:
    try:
        check_text("content", text)
    except Invalid as refusal:
        assert str(refusal).startswith("content ")  # noqa: PT017 - a refusal is one of the two right answers
    else:
        assert text.encode().decode() == text
        assert text.strip()


@pytest.mark.parametrize(
    "text",
    ["", " \t\n", "\u200b", "\ufeff\u2060", "\u00a0\u3000", "\u3164", "\u2800", "\ufe0f", "\u202e", "\x07"],
    ids=["nothing", "space", "zero-width", "marks", "wide", "filler", "Braille", "selector", "direction", "bell"],
)
def test_an_invisible_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is empty"):
        check_text("content", text)


@pytest.mark.parametrize("text", ["x", "\u200bx", "🦜", "。", "é", "👨\u200d👩", "\ue000"])
def test_a_visible_text_is_accepted(text: str) -> None:
    check_text("content", text)


def test_limits_count_bytes_and_characters_exactly() -> None:
    check_text("content", "é" * 5, max_chars=5, max_bytes=10)

    with pytest.raises(Invalid, match="6 characters; the limit is 5"):
        check_text("content", "é" * 6, max_chars=5)
    with pytest.raises(Invalid, match="12 bytes; the limit is 10"):
        check_text("content", "é" * 6, max_bytes=10)


@pytest.mark.parametrize(("text", "message"), [("a\x00b", "NUL"), ("a\ud83db", "position 1")])
def test_characters_that_cannot_be_stored_are_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_text("content", text)


@pytest.mark.parametrize("name", ["two\nlines", "tab\there", "\x1b[31m", "right\u202eleft"])
def test_a_name_with_an_unprintable_character_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="cannot be printed"):
        check_name("tool_id", name)


def test_too_many_labels_are_refused_and_so_is_a_bad_one_among_them() -> None:
    check_labels("tags", ["a", "b"], max_count=2, max_chars=5)

    with pytest.raises(Invalid, match="3 entries; the limit is 2"):
        check_labels("tags", ["a", "b", "c"], max_count=2, max_chars=5)
    with pytest.raises(Invalid, match="an entry of tags"):
        check_labels("tags", ["a", ""], max_count=2, max_chars=5)


@given(OBJECTS)
def test_accepted_json_is_read_back_unchanged(value: dict[str, Any]) -> None:
    try:
        check_json("metadata", value, max_chars=2_000)
    except Invalid:
        return
    assert json.loads(json.dumps(value, allow_nan=False).encode()) == value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": float("nan")}, "NaN"),
        ({"a": [float("inf")]}, "NaN"),
        ({"a": MAX_INTEGER + 1}, "64 bits"),
        ({"a": {"b\x00": 1}}, "NUL"),
        ({"a": ["\udc00"]}, "unpaired surrogate"),
        ({"a": "long" * 30}, "limit is 100"),
    ],
)
def test_json_that_cannot_be_stored_is_refused(value: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_json("metadata", value, max_chars=100)


def test_deeply_nested_json_is_refused_without_recursion() -> None:
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]

    with pytest.raises(Invalid, match="levels deep"):
        check_json("metadata", {"a": deep}, max_chars=100)


def test_json_with_too_many_parts_is_refused_before_all_are_read() -> None:
    read = 0

    class Endless(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            nonlocal read
            while True:
                read += 1
                yield read

    with pytest.raises(Invalid, match="limit"):
        check_json("metadata", {"a": Endless()}, max_chars=100)
    assert read <= 101


def test_a_time_needs_a_zone_and_a_year_from_1_to_9999() -> None:
    check_time("since", None)
    check_time("since", datetime(2026, 5, 1, tzinfo=UTC))

    with pytest.raises(Invalid, match="no time zone"):
        check_time("since", datetime(2026, 5, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(Invalid, match="outside the years"):
        check_time("since", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))))
