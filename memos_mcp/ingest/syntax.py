"""Cuts source code along its syntax: definitions with their comments and decorators, and statements between them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tree_sitter import Node

from memos_mcp.ingest.grammars import CALLABLE, GRAMMARS, LEADING, Grammar, parser_for
from memos_mcp.ingest.text_lines import LIMIT, LineRange, TextLines, cut
from memos_mcp.ingest.units import Level, Unit, max_cost

_MAX_DEPTH: Final = 60
"""Levels of the tree that are opened. Each operator of a long chain is a level; the rest is cut by lines."""

_PARSE_SECONDS: Final = 3.0
"""The limit for one file. The slowest of 14,000 real files took 1 s; a megabyte of random characters takes 17 s."""

_READ_BYTES: Final = 64 * 1024

_MAX_ERROR_SHARE: Final = 0.2
"""The share of a text in syntax errors above which its tree is not used."""

_MAX_NAME_CHARS: Final = 80
_MAX_HEAD_COST: Final = LIMIT // 5
_RECEIVER: Final = re.compile(r"(\w+)(?:\[[^\]]*\])?\s*,?\s*\)$")


class NotParsed(Exception):
    """Too little of the text is valid in its language."""


@dataclass(frozen=True, slots=True)
class _Position:
    """The position of a node: its lines, the enclosing level, whether it is inside a function, and its depth."""

    lines: LineRange
    level: Level
    local: bool = False
    depth: int = 0


def units(text: str, lines: TextLines, language: str, space: int) -> Iterator[Unit]:
    """Yield the units of a source in order, with all of its lines; raise `NotParsed`."""
    source = text.encode()
    root = _parse(source, language)
    if _errors(root) > _MAX_ERROR_SHARE * len(source):
        raise NotParsed
    cutter = _Cutter(GRAMMARS[language], source, lines, space)
    yield from cutter.open(root, (), _Position(LineRange(0, len(lines.texts)), Level()))


def _parse(source: bytes, language: str) -> Node:
    """Return the root of a source's tree; the time is limited, because parsing random text takes very long."""
    deadline = monotonic() + _PARSE_SECONDS
    try:
        tree = parser_for(language).parse(
            lambda offset, _: source[offset : offset + _READ_BYTES], progress_callback=lambda *_: monotonic() > deadline
        )
    except ValueError as error:
        raise NotParsed from error
    return tree.root_node


def _errors(node: Node) -> int:
    """Return the number of bytes in syntax errors."""
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

    def units(self, node: Node, position: _Position) -> Iterator[Unit]:
        """Yield a node as one unit if it fits, otherwise the units of its parts."""
        core = self._core(node)
        names = self._names(node) if not position.local or self._defines(core) else ()
        fits = self.lines.cost(*position.lines) <= max_cost(position.level, self.lines, self.space)
        if fits and core.type not in self.grammar.wrappers:
            yield Unit(position.level, names, position.lines, loose=not self._defines(core))
        else:
            yield from self.open(core, names, position)

    def open(self, node: Node, names: tuple[str, ...], position: _Position) -> Iterator[Unit]:
        """Yield the units of a node's parts; the parts of a named node are a level of their own."""
        level, local = position.level, position.local
        if names:
            level = Level((*level.names, names[0]), self._head(node))
            local = node.type not in self.grammar.holders
        parts = list(self._parts(node, position.lines)) if position.depth < _MAX_DEPTH else [(None, position.lines)]
        for child, lines in parts:
            if child is None:
                ranges = cut(self.lines, lines, max_cost(level, self.lines, self.space))
                yield from (Unit(level, (), part) for part in ranges)
            else:
                yield from self.units(child, _Position(lines, level, local, position.depth + 1))

    def _parts(self, node: Node, lines: LineRange) -> Iterator[tuple[Node | None, LineRange]]:
        """Yield children with their lines, leading comments included; None stands for the lines before the first."""
        start, child, leading = lines.start, None, None
        for row, candidate in self._rows(node):
            if leading is not None and candidate.type in LEADING and row - _last_row(leading[1]) <= 1:
                leading = (leading[0], candidate)
                continue
            follows = leading is not None and row - _last_row(leading[1]) <= 1
            at = leading[0] if leading is not None and follows else row
            if leading is not None and not follows and leading[0] > start:
                yield child, LineRange(start, leading[0])
                start, child = leading
            leading = None
            if candidate.type in LEADING:
                leading = (row, candidate)
                continue
            if at > start:
                yield child, LineRange(start, at)
            start, child = at, candidate
        if leading is not None and leading[0] > start:
            yield child, LineRange(start, leading[0])
            start, child = leading
        yield child, LineRange(start, lines.end)

    def _rows(self, node: Node) -> Iterator[tuple[int, Node]]:
        """Yield the nodes that begin a line; a node that begins later in a line is replaced by its children."""
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
        """Return the names that a node defines: its own, or those of its declarations."""
        if _is_name(node):
            name = " ".join(self._text(node).split())
            return (name,) if 0 < len(name) <= _MAX_NAME_CHARS else ()
        if node.type not in self.grammar.names:
            return ()
        names = tuple(name for child in self._named(node) for name in self._names(child))
        receiver = node.child_by_field_name("receiver")
        if receiver is not None and (owner := _RECEIVER.search(self._text(receiver))):
            return tuple(f"{owner[1]}.{name}" for name in names)
        return names

    def _text(self, node: Node) -> str:
        # `Node.text` would call the read function again and copy 64 KiB for a name.
        return self.source[node.start_byte : node.end_byte].decode(errors="replace")

    def _head(self, node: Node) -> LineRange:
        """Return the lines of a signature, only the first when it is long; an empty range when that is too long."""
        first = node.start_point.row
        value = node.child_by_field_name("value") or node.child_by_field_name("right")
        body = (value or node).child_by_field_name("body")
        last = first + 1
        if body is not None:
            last = max(last, body.start_point.row + (self.grammar.comment != "#"))
        if self.lines.cost(first, last) > _MAX_HEAD_COST:
            last = first + 1
        return LineRange(first, last if self.lines.cost(first, last) <= _MAX_HEAD_COST else first)


def _last_row(node: Node) -> int:
    """Return the row of a node's last character; some nodes include the newline and end in the next row."""
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point.row else row


def _is_name(node: Node) -> bool:
    return node.type.endswith("identifier") or node.type in {
        "member_expression",
        "operator_name",
        "destructor_name",
        "dotted_name",
    }
