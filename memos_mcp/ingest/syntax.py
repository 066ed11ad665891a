"""Cuts source code where its syntax does: definitions with what leads to them, statements between them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tree_sitter import Node

from memos_mcp.ingest.grammars import CALLABLE, GRAMMARS, LEADING, Grammar, parser_for
from memos_mcp.ingest.text_lines import LIMIT, Stretch, TextLines, cut
from memos_mcp.ingest.units import Level, Unit, room

_DEEPEST: Final = 60
"""Levels of the tree that are opened; long chains of operators are a level for each, and are cut by lines."""

_PARSE_SECONDS: Final = 3.0
"""For one file; of 14,000 real ones the slowest was cut in one; a megabyte of random characters would take 17."""

_STEP_BYTES: Final = 64 * 1024

_MOST_ERRORS: Final = 0.2
"""The share of a text that may make no sense to the parser before its tree is not believed."""

_NAME_CHARS: Final = 80
_HEAD_ROOM: Final = LIMIT // 5
_RECEIVER: Final = re.compile(r"(\w+)(?:\[[^\]]*\])?\s*,?\s*\)$")


class NotParsed(Exception):
    """The text is not what its language says, or not enough of it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands: the lines that are its own, what it is in, how deep, and whether inside a function."""

    lines: Stretch
    level: Level
    local: bool = False
    depth: int = 0


def units(text: str, lines: TextLines, language: str, space: int) -> Iterator[Unit]:
    """Yield the units of a source in order; together they are all of its lines. Raise `NotParsed`."""
    source = text.encode()
    root = _parse(source, language)
    if _errors(root) > _MOST_ERRORS * len(source):
        raise NotParsed
    cutter = _Cutter(GRAMMARS[language], source, lines, space)
    yield from cutter.opened(root, (), _Place(Stretch(0, len(lines.texts)), Level()))


def _parse(source: bytes, language: str) -> Node:
    """Return the root of a source's tree; what makes no sense at all would take the parser very long."""
    until = monotonic() + _PARSE_SECONDS
    try:
        tree = parser_for(language).parse(
            lambda offset, _: source[offset : offset + _STEP_BYTES], progress_callback=lambda *_: monotonic() > until
        )
    except ValueError as error:
        raise NotParsed from error
    return tree.root_node


def _errors(node: Node) -> int:
    """Return how many bytes are in parts that the parser could not make sense of."""
    if not node.has_error:
        return 0
    pending, found = [node], 0
    while pending:
        node = pending.pop()
        if node.is_error:
            found += node.end_byte - node.start_byte
        else:
            pending.extend(child for child in node.children if child.has_error)
    return found


@dataclass(frozen=True, slots=True)
class _Cutter:
    grammar: Grammar
    source: bytes
    lines: TextLines
    space: int

    def units(self, node: Node, place: _Place) -> Iterator[Unit]:
        """Yield a node as one unit when it fits, else what it is made of."""
        core = self._core(node)
        names = self._names(node) if not place.local or self._defines(core) else ()
        fits = self.lines.cost(*place.lines) <= room(place.level, self.lines, self.space)
        if fits and core.type not in self.grammar.wrappers:
            yield Unit(place.level, names, place.lines, loose=not self._defines(core))
        else:
            yield from self.opened(core, names, place)

    def opened(self, node: Node, names: tuple[str, ...], place: _Place) -> Iterator[Unit]:
        """Yield the parts of a node; of something named they form a level of its own."""
        level, local = place.level, place.local
        if names:
            level = Level((*level.names, names[0]), self._head(node))
            local = node.type not in self.grammar.holders
        parts = list(self._parts(node, place.lines)) if place.depth < _DEEPEST else [(None, place.lines)]
        for child, stretch in parts:
            if child is None:
                pieces = cut(self.lines, stretch, room(level, self.lines, self.space))
                yield from (Unit(level, (), piece) for piece in pieces)
            else:
                yield from self.units(child, _Place(stretch, level, local, place.depth + 1))

    def _parts(self, node: Node, stretch: Stretch) -> Iterator[tuple[Node | None, Stretch]]:
        """Yield children with their lines, comments before them included; None is what comes before the first."""
        start, child, leading = stretch.start, None, None
        for row, candidate in self._rows(node):
            if leading is not None and candidate.type in LEADING and row - _last_row(leading[1]) <= 1:
                leading = (leading[0], candidate)
                continue
            follows = leading is not None and row - _last_row(leading[1]) <= 1
            at = leading[0] if leading is not None and follows else row
            if leading is not None and not follows and leading[0] > start:
                yield child, Stretch(start, leading[0])
                start, child = leading
            leading = None
            if candidate.type in LEADING:
                leading = (row, candidate)
                continue
            if at > start:
                yield child, Stretch(start, at)
            start, child = at, candidate
        if leading is not None and leading[0] > start:
            yield child, Stretch(start, leading[0])
            start, child = leading
        yield child, Stretch(start, stretch.end)

    def _rows(self, node: Node) -> Iterator[tuple[int, Node]]:
        """Yield what begins on a line of its own; of what begins behind something else, its children instead."""
        children = node.named_children
        begins = bool(children) and children[0].start_byte == node.start_byte and not self._defines(node)
        taken = node.start_point.row - begins
        pending = [iter(children)]
        while pending:
            child = next(pending[-1], None)
            if child is None:
                pending.pop()
                continue
            row, last = child.start_point.row, _last_row(child)
            if row > taken:
                yield row, child
            elif last > row and "string" not in child.type and "comment" not in child.type:
                pending.append(iter(child.named_children))
                taken = row
                continue
            taken = max(taken, last)

    def _core(self, node: Node) -> Node:
        """Return the definition inside decorators, exports and the like."""
        while node.type in self.grammar.names and not self._defines(node):
            inner = next((child for child in self._named(node) if self._names(child)), None)
            if inner is None or _is_name(inner):
                break
            node = inner
        return node

    def _defines(self, node: Node) -> bool:
        if node.type in self.grammar.definitions:
            return True
        if node.type not in self.grammar.names:
            return False
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        return value is not None and value.type in CALLABLE

    def _named(self, node: Node) -> list[Node]:
        field = self.grammar.names[node.type]
        return node.children_by_field_name(field) if field else node.named_children

    def _names(self, node: Node) -> tuple[str, ...]:
        """Return what a node defines, by its own name or those of what it declares."""
        if _is_name(node):
            name = " ".join(self._text(node).split())
            return (name,) if 0 < len(name) <= _NAME_CHARS else ()
        if node.type not in self.grammar.names:
            return ()
        names = tuple(name for child in self._named(node) for name in self._names(child))
        receiver = node.child_by_field_name("receiver")
        if receiver is not None and (owner := _RECEIVER.search(self._text(receiver))):
            return tuple(f"{owner[1]}.{name}" for name in names)
        return names

    def _text(self, node: Node) -> str:
        # The node itself would ask for the source again, 64 KiB of it for a name.
        return self.source[node.start_byte : node.end_byte].decode(errors="replace")

    def _head(self, node: Node) -> Stretch:
        """Return the lines of a signature, or its first when they are many; an empty stretch when that is long."""
        first = node.start_point.row
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        body = (value or node).child_by_field_name("body")
        last = first + 1
        if body is not None:
            last = max(last, body.start_point.row + (self.grammar.comment != "#"))
        if self.lines.cost(first, last) > _HEAD_ROOM:
            last = first + 1
        return Stretch(first, last if self.lines.cost(first, last) <= _HEAD_ROOM else first)


def _last_row(node: Node) -> int:
    """Return the row of a node's last character; some end with the newline, at the start of the next row."""
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point.row else row


def _is_name(node: Node) -> bool:
    return node.type.endswith("identifier") or node.type in {
        "member_expression",
        "operator_name",
        "destructor_name",
        "dotted_name",
    }
