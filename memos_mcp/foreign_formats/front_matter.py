"""The YAML front matter of a note.

Every value stays the text that is written: without YAML's types, `1.10` does not become 1.1, nor `no` a boolean.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import MAX_JSON_DEPTH

_BLOCK: Final = re.compile(r"---[ \t]*\n(?P<yaml>.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


class Note(NamedTuple):
    """The fields of the front matter, all of them texts, lists and objects, and the text after it."""

    fields: Mapping[str, Any]
    body: str


def split_note(text: str) -> Note:
    """Return the front matter, if there is one, and the rest; raise `Invalid` when it is not YAML."""
    block = _BLOCK.match(text)
    if block is None:
        return Note({}, text)
    try:
        _check_size(block["yaml"])
        fields = yaml.load(block["yaml"], Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and dicts only
    except yaml.YAMLError as error:
        raise Invalid(f"The front matter is not YAML{_position(error)}. Correct it.") from None
    if not isinstance(fields, dict):
        if fields:
            raise Invalid("The front matter is no list of `name: value`. Correct it.")
        fields = {}
    return Note(fields, text[block.end() :])


def _check_size(text: str) -> None:
    """Refuse YAML whose value would be larger or deeper than its text suggests, before it is made."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise Invalid("The front matter has aliases (*name), which can expand without limit. Write the values out.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_JSON_DEPTH:
            raise Invalid(f"The front matter is nested more than {MAX_JSON_DEPTH} levels deep. Flatten it.")


def _position(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f" (line {mark.line + 2}, column {mark.column + 1})"
