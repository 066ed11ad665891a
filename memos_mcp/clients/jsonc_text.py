"""Changes one member of a JSON text, which may have comments and trailing commas. Pure.

A new member is appended to its object or list in the style of the text: its indentation, its line ends, and a comma
after the last member where the text has one there.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from memos_mcp.clients.config_text import UnsupportedText, newline_of
from memos_mcp.clients.jsonc_tree import BOM, JsonMember, Node, parse

DEFAULT_INDENT: Final = "  "
_REST_OF_LINE: Final = re.compile(r"[ \t]*(?://[^\r\n]*|/\*[^\r\n]*?\*/(?=[ \t]*\r?\n))")
_SPACE: Final = " \t\r\n"

Key: TypeAlias = str | int
"""The name of a member of an object, or the position of one of a list, from 0."""

Edit: TypeAlias = tuple[int, int, str]
"""The characters from the first position up to the second are replaced."""


class JsoncText:
    """The editor of JSON."""

    def read(self, text: str) -> dict[str, Any]:
        """Return the value of a text."""
        value: dict[str, Any] = parse(text).value
        return value

    def with_entry(self, text: str, keys: tuple[Key, ...], value: Any) -> str:
        """Return the text with this entry. The position after the last one of a list adds to it."""
        path = _path(parse(text), keys)
        node = path[-1][1].node if path else parse(text)
        added = keys[len(path) :]
        unit = _indent_unit(text)
        if not added:
            multiline = "\n" in text[node.start : node.end]
            rendered = _render(text, value, _line_indent(text, node.start), unit) if multiline else _inline(value)
            return _edited(text, [(node.start, node.end, rendered)])
        if not isinstance(node.value, list if isinstance(added[0], int) else dict):
            kind = "list" if isinstance(added[0], int) else "object"
            raise UnsupportedText(f"{'.'.join(map(str, keys[: len(path)]))} is no {kind}")
        for key in reversed(added[1:]):
            value = [value] if isinstance(key, int) else {key: value}
        return _edited(text, _appended(text, node, added[0], value, unit))

    def without_entry(self, text: str, keys: tuple[Key, ...]) -> str:
        """Return the text without this entry, and without the objects and lists that only contained it."""
        path = _path(parse(text), keys)
        if len(path) < len(keys):
            return text
        depth = len(path) - 1
        while depth and not _holds_more(text, *path[depth]):
            depth -= 1
        return _edited(text, _removed(text, *path[depth]))


def _path(root: Node, keys: tuple[Key, ...]) -> list[tuple[Node, JsonMember]]:
    """Return the objects and lists on the way to an entry, each with its member that leads on, as far as they exist."""
    path: list[tuple[Node, JsonMember]] = []
    node = root
    for key in keys:
        members = [
            member for at, member in enumerate(node.members) if key == (at if member.key is None else member.key)
        ]
        if len(members) > 1:
            raise UnsupportedText(f"it has {key} twice")
        if not members:
            break
        path.append((node, members[0]))
        node = members[0].node
    return path


def _appended(text: str, node: Node, key: Key, value: Any, unit: str) -> list[Edit]:
    if not node.members:
        return [_first_member(text, node, key, value, unit)]
    last = node.members[-1]
    if "\n" not in text[node.start : last.start]:
        inline = _inline_member(key, value)
        return [(last.end, last.end, f", {inline}" if last.comma is None else f" {inline},")]
    indent = _line_indent(text, last.start)
    at = _after_comment(text, last.end)
    member = f"{newline_of(text)}{indent}{_render_member(text, key, value, indent, unit)}"
    if last.comma is None:
        return [(at, at, member), (last.node.end, last.node.end, ",")]
    return [(at, at, f"{member},")]


def _first_member(text: str, node: Node, key: Key, value: Any, unit: str) -> Edit:
    """Return the edit for an object without members, which may have comments."""
    newline, outer = newline_of(text), _line_indent(text, node.start)
    inside = text[node.start + 1 : node.end - 1]
    if not inside.strip(_SPACE) and _is_one_line(text):
        return node.start + 1, node.end - 1, _inline_member(key, value)
    member = f"{newline}{outer}{unit}{_render_member(text, key, value, outer + unit, unit)}"
    if not inside.strip(_SPACE):
        return node.start + 1, node.end - 1, f"{member}{newline}{outer}"
    at = node.start + 1 + len(inside.rstrip(_SPACE))
    return at, at, member if "\n" in text[at : node.end] else f"{member}{newline}{outer}"


def _holds_more(text: str, node: Node, member: JsonMember) -> bool:
    """Return whether an object holds other members than this one, or comments."""
    around = text[node.start + 1 : member.start] + text[member.end : node.end - 1]
    return len(node.members) > 1 or bool(around.strip(_SPACE))


def _removed(text: str, node: Node, member: JsonMember) -> list[Edit]:
    if not _holds_more(text, node, member):
        return [(node.start + 1, node.end - 1, "")]
    start = len(text[: member.start].rstrip(_SPACE))
    index = node.members.index(member)
    end = _after_comment(text, member.end)
    if index + 1 < len(node.members) or not index or member.comma is not None:
        return [(start, end, "")]
    comma = node.members[index - 1].comma
    return [(start, end, "")] if comma is None else [(comma, comma + 1, ""), (start, end, "")]


def _after_comment(text: str, at: int) -> int:
    """Return the position after a comment that follows on the same line."""
    found = _REST_OF_LINE.match(text, at)
    return at if found is None else found.end()


def _is_one_line(text: str) -> bool:
    content = text.strip(f"{BOM}{_SPACE}")
    return "\n" not in content and content != "{}"


def _line_indent(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _indent_unit(text: str) -> str:
    """Return the indentation of the first indented member."""
    found = re.search(r'\n([ \t]+)"', text)
    return found[1] if found else DEFAULT_INDENT


def _inline_member(key: Key, value: Any) -> str:
    return _inline(value) if isinstance(key, int) else f"{_inline(key)}: {_inline(value)}"


def _inline(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _render_member(text: str, key: Key, value: Any, indent: str, unit: str) -> str:
    rendered = _render(text, value, indent, unit)
    return rendered if isinstance(key, int) else f"{_inline(key)}: {rendered}"


def _render(text: str, value: Any, indent: str, unit: str) -> str:
    """Return an object with a member a line, and anything else on one line."""
    if not isinstance(value, dict) or not value:
        return _inline(value)
    newline = newline_of(text)
    inner = indent + unit
    members = f",{newline}".join(f"{inner}{_render_member(text, key, value[key], inner, unit)}" for key in value)
    return f"{{{newline}{members}{newline}{indent}}}"


def _edited(text: str, edits: Iterable[Edit]) -> str:
    """Return the text with these edits; of two at the same position, the first one comes later in the text."""
    for start, end, replacement in sorted(edits, key=lambda edit: edit[0], reverse=True):
        text = f"{text[:start]}{replacement}{text[end:]}"
    return text
