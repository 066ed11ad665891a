from typing import Any

import pytest

from memos_mcp.tool_calling.pattern_guard import find_guarded_violation, may_run_away
from memos_mcp.tool_calling.schema_check import UnusableSchema


@pytest.mark.parametrize(
    ("schema", "value", "guarded"),
    [
        ({"type": "string"}, "a" * 10_000, False),
        ({"pattern": "^[a-z-]+$"}, "abc", False),
        ({"pattern": r"^\d{4}-\d\d$"}, "2026-05", False),
        ({"pattern": "^[a-z-]+$"}, "a" * 10_000, True),
        ({"pattern": "^(a+)+$"}, "abc", True),
        ({"pattern": "a*a*a*b"}, "abc", True),
        ({"pattern": "^(a|aa){1,40}$"}, "abc", True),
        ({"properties": {"a": {"patternProperties": {"^(x+)+$": {}}}}}, {}, True),
        ({"properties": {"pattern": {"type": "string"}}}, {"pattern": "(a+)+"}, False),
    ],
)
def test_a_check_is_guarded_where_a_pattern_may_take_long(schema: dict[str, Any], value: Any, guarded: bool) -> None:
    assert may_run_away(schema, value) is guarded
    assert find_guarded_violation(schema, value) is None or "does not match" in str(
        find_guarded_violation(schema, value)
    )


def test_a_guarded_check_finds_what_an_unguarded_one_finds() -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": "^(ab)+$"}}}
    assert find_guarded_violation(schema, {"a": "abab"}) is None
    assert find_guarded_violation(schema, {"a": "ü"}) == "at a: 'ü' does not match '^(ab)+$'"
    with pytest.raises(UnusableSchema, match="not JSON Schema"):
        find_guarded_violation({**schema, "type": "nowhere"}, {})
    with pytest.raises(UnusableSchema, match="nothing can be checked"):
        find_guarded_violation({"pattern": "(a+)+("}, "a")
