"""The types of command-line arguments: what they return, and what they refuse."""

from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from memos_mcp.cli import argument_types as types


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        ("since", "2026-05-01", datetime(2026, 5, 1, tzinfo=UTC)),
        ("until", "2026-05-01", datetime(2026, 5, 1, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("since", "2026-05-01 12:30", datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
        ("since", "2026-05-01T12:30:00Z", datetime(2026, 5, 1, 12, 30, tzinfo=UTC)),
        ("until", "2026-05-01T12:30+0200", datetime(2026, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_time_is_read_as_the_tools_read_it(option: str, text: str, expected: datetime) -> None:
    assert types.time(option)(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("30m", timedelta(minutes=30))],
)
def test_a_duration_has_a_unit(text: str, expected: timedelta) -> None:
    assert types.duration(text) == expected


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5d", "1d ", "1 d", "3651d", "9999999d", "٣d"])
def test_another_duration_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="no time span up to ten years"):
        types.duration(text)


@pytest.mark.parametrize("text", ["", "all", "read,", "Read", "read write"])
def test_an_unknown_right_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="the rights are read, write, tools and admin"):
        types.rights(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("team=infra", {"team": "infra"}),
        ("team=a=b", {"team": "a=b"}),
        ("n=12", {"n": "12"}),
        ("n:=12", {"n": 12}),
        ('tags:=["a"]', {"tags": ["a"]}),
        ('{"n": 1, "m": null}', {"n": 1, "m": None}),
    ],
)
def test_metadata_is_a_pair_or_an_object(text: str, expected: dict[str, Any]) -> None:
    assert types.metadata(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (types.time("since"), "yesterday", "is no time such as"),
        (types.time("since"), "2026-13-01", "is no time such as"),
        (types.time("since"), "", "is no time such as"),
        (types.time("since"), "0001-01-01T00:00+23:00", "lies outside the years"),
        (types.metadata, "team", "is none of KEY=TEXT"),
        (types.metadata, "=x", "is none of KEY=TEXT"),
        (types.metadata, "n:=twelve", "is not JSON"),
        (types.metadata, '{"n": 1', "is not JSON"),
        (types.whole_number(1, 100), "0", "is no whole number from 1 to 100"),
        (types.whole_number(1, 1_000), "1001", "is no whole number from 1 to 1,000"),
        (types.whole_number(1, 100), "1e2", "is no whole number"),
        (types.whole_number(1, 100), "²", "is no whole number"),
        (types.unit, "1.5", "is no number from 0 to 1"),
        (types.unit, "nan", "is no number from 0 to 1"),
        (types.unit, "half", "is no number from 0 to 1"),
        (types.memory_id, "abc", "first 4 or more digits"),
        (types.memory_id, "a---", "first 4 or more digits"),
        (types.memory_id, "a" * 33, "first 4 or more digits"),
        (types.memory_id, "../etc/passwd", "first 4 or more digits"),
        (types.question, " ", "is empty"),
        (types.question, "caf\udce9", "unpaired surrogate"),
        (types.name, "a\x1bb", "cannot be printed"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_expected(read: Callable[[str], Any], text: str, message: str) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        read(text)
