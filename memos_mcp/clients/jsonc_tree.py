"""Reads JSON with comments and trailing commas, and reports where each member stands. Pure."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from memos_mcp.clients.config_text import BrokenText, position_of

BOM: Final = "\ufeff"
_SKIPPED: Final = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*[\s\S]*?\*/)*")
_MAX_DEPTH: Final = 200


@dataclass(slots=True)
class Node:
    """A value, from its first character to the one after its last; an object or a list also has its members."""

    start: int
    end: int
    value: Any
    members: "list[JsonMember]" = field(default_factory=list)


@dataclass(slots=True)
class JsonMember:
    """A member of an object, or one of a list, which has no key.

    It has the position where it starts, its value, and that of the comma after it, if there is one.
    """

    start: int
    key: str | None
    node: Node
    comma: int | None = None

    @property
    def end(self) -> int:
        """The position after the member and its comma."""
        return self.node.end if self.comma is None else self.comma + 1


def parse(text: str) -> Node:
    """Return the tree of a text, whose root is an object; raise `BrokenText` where it is none."""
    reader = _Reader(text)
    root = reader.value(reader.after_skipped(len(BOM) if text.startswith(BOM) else 0), depth=0)
    if not isinstance(root.value, dict):
        reader.fail("expected an object", root.start)
    if reader.after_skipped(root.end) < len(text):
        reader.fail("expected the end of the file", reader.after_skipped(root.end))
    return root


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder(parse_constant=_refuse_constant)

    def fail(self, problem: str, at: int) -> NoReturn:
        raise BrokenText(problem, *position_of(self._text, at))

    def after_skipped(self, at: int) -> int:
        """Return the position after spaces and comments."""
        found = _SKIPPED.match(self._text, at)
        end = at if found is None else found.end()
        if self._text.startswith("/*", end):
            self.fail("a comment that does not end", end)
        return end

    def value(self, at: int, depth: int) -> Node:
        if depth > _MAX_DEPTH:
            self.fail("nested too deeply", at)
        match self._text[at : at + 1]:
            case "{":
                return self._object(at, depth)
            case "[":
                return self._array(at, depth)
            case _:
                return self._scalar(at)

    def _scalar(self, at: int) -> Node:
        try:
            value, end = self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            self.fail("expected a value" if error.msg == "Expecting value" else error.msg.lower(), error.pos)
        except ValueError:
            self.fail("expected a value", at)
        return Node(at, end, value)

    def _object(self, at: int, depth: int) -> Node:
        node = Node(at, at, {})
        position = self.after_skipped(at + 1)
        while not self._text.startswith("}", position):
            self._check_comma(node, position, "}")
            if not self._text.startswith('"', position):
                self.fail("expected a name in quotes", position)
            member = self._object_member(position, depth)
            node.value[member.key] = member.node.value
            node.members.append(member)
            position = self.after_skipped(member.end)
        node.end = position + 1
        return node

    def _array(self, at: int, depth: int) -> Node:
        node = Node(at, at, [])
        position = self.after_skipped(at + 1)
        while not self._text.startswith("]", position):
            self._check_comma(node, position, "]")
            member = self._member(position, None, self.value(position, depth + 1))
            node.value.append(member.node.value)
            node.members.append(member)
            position = self.after_skipped(member.end)
        node.end = position + 1
        return node

    def _check_comma(self, node: Node, position: int, end: str) -> None:
        if node.members and node.members[-1].comma is None:
            self.fail(f"expected , or {end}", position)

    def _object_member(self, at: int, depth: int) -> JsonMember:
        key = self._scalar(at)
        colon = self.after_skipped(key.end)
        if not self._text.startswith(":", colon):
            self.fail("expected :", colon)
        return self._member(at, key.value, self.value(self.after_skipped(colon + 1), depth + 1))

    def _member(self, at: int, key: str | None, node: Node) -> JsonMember:
        comma = self.after_skipped(node.end)
        return JsonMember(at, key, node, comma if self._text.startswith(",", comma) else None)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
