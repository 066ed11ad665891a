"""Arguments are understood in the forms in which models send them, and free text is never touched."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.mcp_server.tool_definition import ToolDefinition
from tests.mcp_server.argument_forms import ID, REFUSED, REQUIRED, UNDERSTOOD, Form

BY_NAME: dict[str, ToolDefinition[Any]] = {tool.name: tool for tool in TOOLS}

JSON_TEXT = st.sampled_from(["null", "", "5", "true", '{"a": 1}', "['a']", "2026-05-01", "[", "None", "a, b"])
FREE_TEXT = st.one_of(st.text(), JSON_TEXT)
TAGS = st.lists(st.text(min_size=1), max_size=3)
METADATA = st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), FREE_TEXT), max_size=3)


ONLY_THEIR_ZONE_DIFFERS = [
    form for form in UNDERSTOOD if form.name == "occurred_at" and str(form.sent)[16:].strip(":0 Z") != ""
]


def shown(form: Form) -> str:
    return f"{form.tool} {form.name} {form.sent!r}"


@pytest.mark.parametrize("form", UNDERSTOOD, ids=shown)
def test_a_form_with_a_single_reading_is_understood_and_noted(form: Form) -> None:
    tool = BY_NAME[form.tool]

    arguments, note = tool.understand({**REQUIRED[form.tool], form.name: form.sent})

    assert arguments == {**REQUIRED[form.tool], form.name: form.means}
    given = {**REQUIRED[form.tool], **({} if form.means is None else {form.name: form.means})}
    assert tool.parse(arguments) == tool.parse(given)
    assert (note == "") == (form.sent == arguments[form.name] or form in ONLY_THEIR_ZONE_DIFFERS)
    assert not note or note.startswith(f"{form.name} {json.dumps(form.sent)} was read as ")


@pytest.mark.parametrize("form", REFUSED, ids=shown)
def test_a_form_with_no_reading_or_several_is_refused_with_what_is_expected(form: Form) -> None:
    tool = BY_NAME[form.tool]

    arguments, _ = tool.understand({**REQUIRED[form.tool], form.name: form.sent})

    with pytest.raises(Invalid) as caught:
        tool.parse(arguments)
    assert form.refused is not None
    assert form.refused in str(caught.value)


@given(FREE_TEXT, TAGS, METADATA, st.floats(0, 1), FREE_TEXT)
def test_no_free_text_and_no_argument_in_its_own_form_is_changed(
    content: str, tags: list[str], metadata: dict[str, Any], importance: float, query: str
) -> None:
    stored = {"content": content, "tags": tags, "metadata": metadata, "importance": importance, "supersedes": ID}
    for tool, arguments in (
        ("store_memory", stored),
        ("query_memory", {"query": query, "tags": tags, "since": "2026-05-01T12:00:00.5+02:00"}),
        ("build_loadout", {"task": query, "needs": tags}),
        ("register_tool", {**REQUIRED["register_tool"], "description": content, "name": query}),
    ):
        assert BY_NAME[tool].understand(arguments) == (arguments, "")


@given(FREE_TEXT)
def test_text_in_place_of_any_argument_is_understood_or_refused(text: str) -> None:
    for tool in TOOLS:
        for name in tool.input_schema["properties"]:
            arguments, _ = tool.understand({**REQUIRED[tool.name], name: text})
            with suppress(Invalid):  # and no other error
                tool.parse(arguments)


def test_a_note_is_short_however_much_was_sent() -> None:
    many = {"tags": "x" * 5_000, "metadata": '{"a": "%s"}' % ("y" * 5_000), "importance": "0.5", "kind": "Semantic"}

    arguments, note = BY_NAME["store_memory"].understand({"content": "z" * 5_000, **many})

    assert arguments["tags"] == ["x" * 5_000]
    assert len(note) <= 300


@pytest.mark.parametrize("nested", ["[" * 100_000, '{"a":' * 100_000, "-" * 100_000 + "1", "{'a': " + "(" * 100_000])
def test_deep_nesting_in_a_text_is_not_read(nested: str) -> None:
    arguments, _ = BY_NAME["store_memory"].understand({"content": "x", "metadata": nested, "tags": nested})
    assert arguments["metadata"] == nested
