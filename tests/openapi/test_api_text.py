import json

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.openapi import api_text
from memos_mcp.openapi.api_text import parse_api
from memos_mcp.openapi.findings import Findings


def parsed(text: str) -> tuple[object, list[str]]:
    findings = Findings()
    return parse_api(text.encode(), "shop.yaml", findings), [finding.reason for finding in findings.entries]


def test_yaml_is_read_by_the_rules_of_json() -> None:
    text = "openapi: 3.0.3\nno: [on, yes, NO, 2026-05-01, 1:30, 010, 0x1f, 1e3, .5, ~, true]\n200: ok\n"
    assert parsed(text) == (
        {
            "openapi": "3.0.3",
            "no": ["on", "yes", "NO", "2026-05-01", "1:30", 10, "0x1f", 1000.0, 0.5, None, True],
            "200": "ok",
        },
        [],
    )


def test_anchors_and_merges_of_yaml_are_copied() -> None:
    value, _ = parsed("a: &a {x: [1]}\nb: {<<: *a, y: 2}\nc: *a\n")
    assert value == {"a": {"x": [1]}, "b": {"x": [1], "y": 2}, "c": {"x": [1]}}


def test_a_name_that_occurs_twice_is_reported() -> None:
    assert parsed('{"a": 1, "a": 2}') == (
        {"a": 2},
        ["The name 'a' occurs twice in one object of shop.yaml; the last one counts."],
    )
    assert parsed("a: 1\na: 2\n") == parsed('{"a": 1, "a": 2}')


def test_values_that_cannot_be_stored_are_replaced_and_reported() -> None:
    value, reasons = parsed(json.dumps({"big": 2**64, "nan": float("nan"), "text": "a\x00b", "emoji": "\ud83d"}))
    assert value == {"big": 2.0**64, "nan": None, "text": "a\ufffdb", "emoji": "?"}
    assert [reason.split(" ")[0] for reason in reasons] == ["18446744073709551616", "A", "Characters", "Characters"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ', r"is not JSON: .* \(line 1, column 7\)"),
        ("a: [1", r"is neither JSON nor YAML: .* \(line 2, column 1\)"),
        ("a: !!python/object/apply:os.system [ls]", "is neither JSON nor YAML: could not determine a constructor"),
        ("a: !include other.yaml", "is neither JSON nor YAML"),
        ("? [1, 2]\n: 3", "a key is no text"),
        ("a: *unknown", "is neither JSON nor YAML"),
        ("[" * 5000, "is nested more than 100 levels deep"),
        ('{"a":' * 200 + "1" + "}" * 200, "is nested more than 100 levels deep"),
        ('{"a":' * 100_000, "is nested too deep"),
        ("a: &a [*a]", "is nested more than 100 levels deep"),
        ("- a\n- b\n...\n---\n- c", "is neither JSON nor YAML"),
        (f'{{"a": {"1" * 5000}}}', "too many digits"),
    ],
)
def test_text_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        parsed(text)


def test_aliases_that_expand_without_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_text, "MAX_VALUES", 40_000)  # a hundredth: the values up to the limit take seconds
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(Invalid, match="has more than 40,000 values"):
        parsed("\n".join(lines))


def test_text_in_another_encoding_is_refused() -> None:
    with pytest.raises(Invalid, match="is not UTF-8"):
        parse_api("title: Käse".encode("latin-1"), "shop.yaml", Findings())
    assert parse_api("\ufefftitle: Käse".encode(), "shop.yaml", Findings()) == {"title": "Käse"}
