"""Cuts source code along its syntax: definitions with their comments and decorators, and statements between them."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from tree_sitter import Node

from memos_mcp.ingest.code.grammar_rules import Grammar
from memos_mcp.ingest.code.grammars import GRAMMARS, parser_for
from memos_mcp.ingest.code.node_names import NodeNames
from memos_mcp.ingest.text.text_lines import LIMIT, LineRange, TextLines, cut
from memos_mcp.ingest.text.units import Level, Unit, max_cost

_MAX_DEPTH: Final = 60
"""Levels of the tree that are opened. Each operator of a long chain is a level; the rest is cut by lines."""

_PARSE_SECONDS: Final = 3.0
"""The limit for one file. The slowest of 14,000 real files took 1 s; a megabyte of random characters takes 17 s."""

_READ_BYTES: Final = 64 * 1024

_MAX_ERROR_SHARE: Final = 0.2
"""The share of a text in syntax errors above which its tree is not used."""

_MAX_HEAD_COST: Final = LIMIT // 5


class NotParsed(Exception):
    """Too little of the text is valid in its language."""


@dataclass(frozen=True, slots=True)
class _Position:
    """The position of a node: its lines, the enclosing level, whether it is inside a function, and its depth."""

    lines: LineRange
    level: Level
    local: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class ParsedSource:
    """A source with its syntax tree."""

    grammar: Grammar
    source: bytes
    root: Node


def parse(text: str, language: str) -> ParsedSource:
    """Return a source with its tree; raise `NotParsed`."""
    grammar, source = GRAMMARS[language], text.encode()
    root = _parse(grammar.prepare(source), language)
    if _errors(root) > _MAX_ERROR_SHARE * len(source):
        raise NotParsed
    return ParsedSource(grammar, source, root)


def units(parsed: ParsedSource, lines: TextLines, space: int) -> Iterator[Unit]:
    """Yield the units of a source in order, with all of its lines."""
    names = NodeNames(parsed.grammar, parsed.source)
    cutter = _Cutter(parsed.grammar, names, parsed.source, lines, space)
    yield from cutter.open(parsed.root, (), _Position(LineRange(0, len(lines.texts)), Level()))


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
    names: NodeNames
    source: bytes
    lines: TextLines
    space: int

    def units(self, node: Node, position: _Position) -> Iterator[Unit]:
        """Yield a node as one unit if it fits, otherwise the units of its parts."""
        core = self.names.core(node)
        names = self.names.of(node) if not position.local or self.names.defines(core) else ()
        fits = self.lines.cost(*position.lines) <= max_cost(position.level, self.lines, self.space)
        if fits and not self._wraps(core):
            yield Unit(position.level, names, position.lines, loose=not self.names.defines(core))
        else:
            yield from self.open(core, names, position)

    def open(self, node: Node, names: tuple[str, ...], position: _Position) -> Iterator[Unit]:
        """Yield the units of a node's parts; the parts of a named node are a level of their own."""
        level, local = position.level, position.local
        if names:
            level = Level((*level.names, names[0]), self._head(node))
            value = self.names.value(node)
            local = self.grammar.holders.isdisjoint((node.type, value.type if value is not None else ""))
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
            if leading is not None and candidate.type in self.grammar.leading and row - _last_row(leading[1]) <= 1:
                leading = (leading[0], candidate)
                continue
            follows = leading is not None and row - _last_row(leading[1]) <= 1
            at = leading[0] if leading is not None and follows else row
            if leading is not None and not follows and leading[0] > start:
                yield child, LineRange(start, leading[0])
                start, child = leading
            leading = None
            if candidate.type in self.grammar.leading:
                leading = (row, candidate)
                continue
            if at > start and not (child is None and self._joins_first(node, row)):
                yield child, LineRange(start, at)
                start = at
            child = candidate
        if leading is not None and leading[0] > start:
            yield child, LineRange(start, leading[0])
            start, child = leading
        yield child, LineRange(start, lines.end)

    def _joins_first(self, node: Node, row: int) -> bool:
        """Whether the lines above the first part of a node belong to it. A wrapper has no chunk for them."""
        return node.type in self.grammar.joined or (self._wraps(node) and row == node.start_point.row)

    def _wraps(self, node: Node) -> bool:
        return node.type in self.grammar.wrappers

    def _rows(self, node: Node) -> Iterator[tuple[int, Node]]:
        """Yield the nodes that begin a line; a node that begins later in a line is replaced by its children."""
        children = node.named_children
        begins = bool(children) and children[0].start_byte == node.start_byte and not self.names.defines(node)
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

    def _head(self, node: Node) -> LineRange:
        """Return the lines of a signature, only the first when it is long; an empty range when that is too long."""
        first = node.start_point.row
        body = self._body(self.names.value(node) or node)
        last = first + 1
        if body is not None:
            last = max(last, body.start_point.row + (self.source[body.start_byte : body.start_byte + 1] == b"{"))
        if self.lines.cost(first, last) > _MAX_HEAD_COST:
            last = first + 1
        return LineRange(first, last if self.lines.cost(first, last) <= _MAX_HEAD_COST else first)

    def _body(self, node: Node) -> Node | None:
        found = node.child_by_field_name("body")
        return found or next((child for child in node.named_children if child.type in self.grammar.bodies), None)


def _last_row(node: Node) -> int:
    """Return the row of a node's last character; some nodes include the newline and end in the next row."""
    row, column = node.end_point
    return row - 1 if column == 0 and row > node.start_point.row else row
