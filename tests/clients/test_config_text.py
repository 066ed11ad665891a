"""The editors of the three formats, where a text is unusual."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.clients.config_text import BrokenText, TextEditor, UnsupportedText, data_without_entry, entry_at
from memos_mcp.clients.jsonc_text import JsoncText
from memos_mcp.clients.toml_text import TomlText
from memos_mcp.clients.yaml_text import YamlText

KEYS = ("servers", "memos")
ENTRY: dict[str, Any] = {"command": "memos-as", "args": ["a", 'b"\\'], "env": {"MEMOS_NAMESPACE": "café"}}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(), json_values, max_size=4)


@given(json_objects, json_objects, st.sampled_from([None, 2, 4, "\t"]), st.sampled_from(["\n", "\r\n"]))
def test_the_entry_of_a_json_text_is_added_and_removed_without_any_other_change(
    data: dict[str, Any], others: dict[str, Any], indent: int | str | None, newline: str
) -> None:
    others.pop("memos", None)
    text = json.dumps({**data, "servers": {"other": 1, **others}}, indent=indent).replace("\n", newline)
    editor = JsoncText()
    changed = editor.with_entry(text, KEYS, ENTRY)
    assert entry_at(editor.read(changed), KEYS) == ENTRY
    assert editor.without_entry(changed, KEYS) == text


@given(
    json_objects,
    st.lists(json_values, min_size=1, max_size=4),
    st.sampled_from([None, 2, 4, "\t"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_a_member_of_a_json_list_is_added_and_removed_without_any_other_change(
    data: dict[str, Any], others: list[Any], indent: int | str | None, newline: str
) -> None:
    text = json.dumps({**data, "hooks": {"Stop": others}}, indent=indent).replace("\n", newline)
    editor, keys = JsoncText(), ("hooks", "Stop", len(others))
    changed = editor.with_entry(text, keys, ENTRY)
    assert editor.read(changed) == {**data, "hooks": {"Stop": [*others, ENTRY]}}
    assert editor.without_entry(changed, keys) == text
    replaced = editor.with_entry(changed, ("hooks", "Stop", 0), ENTRY)
    assert editor.read(replaced)["hooks"]["Stop"] == [ENTRY, *others[1:], ENTRY]


@pytest.mark.parametrize(
    "text",
    [
        '{"servers": {"a": 1, "memos": {"command": "old"}, "b": 2}}',
        '{\n  "servers": {\n    "memos": {"command": "old"}, // ours\n    // of b\n    "b": 2\n  }\n}',
        '{\n  "servers": {\n    // nothing else\n    "memos": {"command": "old"},\n  }\n}',
        '\ufeff// first\n{"servers": {"memos": {"command": "old"} /* ours */ }}',
    ],
)
def test_an_entry_anywhere_in_a_json_text_is_replaced_and_removed(text: str) -> None:
    editor = JsoncText()
    before = editor.read(text)
    assert editor.read(editor.with_entry(text, KEYS, ENTRY)) == {"servers": {**before["servers"], "memos": ENTRY}}
    removed = editor.without_entry(text, KEYS)
    assert data_without_entry(editor.read(removed), KEYS) == data_without_entry(before, KEYS)
    assert "ours" not in removed.replace("/* ours */", "")
    assert ("of b" in text) == ("of b" in removed)


@pytest.mark.parametrize(
    "text", ["[]", "", "{} {}", '{"a": NaN}', '{"a": "\n"}', "[" * 5_000, '{"a": [1 2]}', '{"a" 1}']
)
def test_what_is_no_json_object_is_refused_with_a_position(text: str) -> None:
    with pytest.raises(BrokenText) as refused:
        JsoncText().read(text)
    assert refused.value.line >= 1


def test_a_list_of_servers_that_is_no_object_is_not_replaced() -> None:
    with pytest.raises(UnsupportedText):
        JsoncText().with_entry('{"servers": []}', KEYS, ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        'servers = { memos = { command = "old" } }\n',
        'servers.memos.command = "old"\n',
        '[servers]\nmemos = { command = "old" }\n',
    ],
)
def test_a_toml_entry_without_a_header_is_not_changed(text: str) -> None:
    with pytest.raises(UnsupportedText):
        TomlText().with_entry(text, KEYS, ENTRY)
    with pytest.raises(UnsupportedText):
        TomlText().without_entry(text, KEYS)


def test_a_toml_entry_is_replaced_with_its_subtables_and_comments_after_it_stay() -> None:
    text = (
        '[servers.memos] # by hand\ncommand = "old"\n\n[servers.memos.env]\nA = """\n[servers.x]\n"""\n\n'
        '# of the next\n[[profiles]]\nname = "x"\n'
    )
    editor = TomlText()
    changed = editor.with_entry(text, KEYS, ENTRY)
    assert editor.read(changed) == {"servers": {"memos": ENTRY}, "profiles": [{"name": "x"}]}
    assert changed.endswith('\n\n# of the next\n[[profiles]]\nname = "x"\n')
    assert editor.without_entry(changed, KEYS) == '\n# of the next\n[[profiles]]\nname = "x"\n'


def test_a_toml_text_with_other_line_ends_keeps_them() -> None:
    assert TomlText().with_entry("a = 1\r\n", KEYS, {"url": "x"}) == 'a = 1\r\n\r\n[servers.memos]\r\nurl = "x"\r\n'


@pytest.mark.parametrize("empty", ["", " {}", " # none", " ~"])
def test_the_first_entry_of_a_yaml_list_replaces_what_stands_for_nothing(empty: str) -> None:
    editor = YamlText(in_list=False)
    changed = editor.with_entry(f"a: 1\nservers:{empty}\nb: 2\n", KEYS, ENTRY)
    assert editor.read(changed) == {"a": 1, "servers": {"memos": ENTRY}, "b": 2}
    assert editor.read(editor.without_entry(changed, KEYS)) == {"a": 1, "b": 2}


def test_a_yaml_entry_is_replaced_and_removed_between_others() -> None:
    text = "servers:\n- name: a\n- name: memos\n  note: |\n    one\n\n    two\n# of b\n- name: b\n"
    editor, entry = YamlText(in_list=True), {"name": "memos", **ENTRY}
    changed = editor.with_entry(text, KEYS, entry)
    assert editor.read(changed) == {"servers": [{"name": "a"}, entry, {"name": "b"}]}
    assert editor.without_entry(changed, KEYS) == "servers:\n- name: a\n# of b\n- name: b\n"
    assert editor.without_entry(text, KEYS) == "servers:\n- name: a\n# of b\n- name: b\n"


@pytest.mark.parametrize("text", ["servers: {a: {command: x}}\n", "servers: {memos: {command: x}}\n"])
def test_a_yaml_list_in_braces_is_not_changed(text: str) -> None:
    with pytest.raises(UnsupportedText):
        YamlText(in_list=False).with_entry(text, KEYS, ENTRY)


@pytest.mark.parametrize(
    ("editor", "text"),
    [
        (TomlText(), "a = \n"),
        (TomlText(), "[a]\n[a]\n"),
        (YamlText(in_list=True), "- a\n"),
        (YamlText(in_list=True), "a: &b *b\n\t- c"),
    ],
)
def test_what_does_not_follow_the_format_is_refused(editor: TextEditor, text: str) -> None:
    with pytest.raises(BrokenText):
        editor.read(text)
