import json
import logging
from typing import Any

import pytest

from memos_mcp.telemetry.log_format import formatter
from memos_mcp.telemetry.request_ids import chosen, current, serving


def line(message: str, *arguments: object, error: BaseException | None = None, **extra: object) -> dict[str, Any]:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("memos_mcp.part", logging.WARNING, __file__, 1, message, arguments, info)
    record.__dict__.update(extra)
    record.created, record.msecs = 1_777_636_800.25, 250.0
    text = formatter("json").format(record)
    assert "\n" not in text
    return dict(json.loads(text))


def test_a_line_is_an_object_with_the_standard_fields() -> None:
    assert line("two %s", "words\nin two lines") == {
        "time": "2026-05-01T12:00:00.250Z",
        "level": "warning",
        "logger": "memos_mcp.part",
        "message": "two words\nin two lines",
    }


def test_a_line_has_the_id_of_its_request_and_of_its_incident() -> None:
    with serving("abc"):
        found = line("failed", incident="f00d", tool="query_memory", outcome="failed", color_message="ignored")
    assert {name: found[name] for name in found.keys() - {"time", "level", "logger", "message"}} == {
        "request_id": "abc",
        "incident": "f00d",
        "tool": "query_memory",
        "outcome": "failed",
    }
    assert current() is None


def test_an_exception_is_one_field() -> None:
    with pytest.raises(ValueError, match="wrong") as raised:
        int("wrong")
    found = line("failed", error=raised.value)
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: invalid literal for int() with base 10: 'wrong'")


def test_the_text_format_has_no_request_ids() -> None:
    record = logging.LogRecord("part", logging.INFO, __file__, 1, "hello", (), None)
    with serving("abc"):
        assert formatter("text").format(record).endswith(" INFO part: hello")


@pytest.mark.parametrize("given", ["a", "0", "5f2c9a3e-77aa-4b1c-8a67-3c3f9e1d2b11", "x" * 64, "Root.1_2-3"])
def test_a_plain_id_of_a_client_is_kept(given: str) -> None:
    assert chosen(given) == given


@pytest.mark.parametrize("given", [None, "", " ", "x" * 65, "-a", "a b", "a\nb", "ü", "a\x00", "<a>", 'a"', "a/b"])
def test_any_other_id_is_replaced(given: str | None) -> None:
    made = {chosen(given) for _ in range(3)}
    assert len(made) == 3
    assert given not in made
