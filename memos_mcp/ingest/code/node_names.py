"""The names that the nodes of a syntax tree define, by the grammar of their language."""

import re
from dataclasses import dataclass
from typing import Final

from tree_sitter import Node

from memos_mcp.ingest.code.grammar_rules import Grammar

_MAX_NAME_CHARS: Final = 80

_MAX_PATTERN_BYTES: Final = 500
"""The part of a node, at its start, in which its name is matched."""

_NAME_KINDS: Final = frozenset({"member_expression", "operator_name", "destructor_name", "dotted_name"})

_RECEIVER: Final = re.compile(r"(\w+)(?:\[[^\]]*\])?\s*,?\s*\)$")


@dataclass(frozen=True, slots=True)
class NodeNames:
    """Finds definitions and names in the tree of one source."""

    grammar: Grammar
    source: bytes

    def core(self, node: Node) -> Node:
        """Return the definition inside decorators, exports and the like."""
        while node.type in self.grammar.names and not self.defines(node):
            inner = next((child for child in self._named(node) if self.of(child)), None)
            if inner is None or self._is_name(inner):
                break
            node = inner
        return node

    def defines(self, node: Node) -> bool:
        """Whether a node is a definition, which becomes a unit of its own."""
        if node.type in self.grammar.definitions:
            return True
        if node.type in self.grammar.patterns:
            return self._matched(node) is not None
        return node.type in self.grammar.names and self.value(node) is not None

    def value(self, node: Node) -> Node | None:
        """Return the value that makes an assignment a definition, such as a function or a class."""
        for child in node.named_children:
            values = child.named_children if child.type == "expression_list" else (child,)
            found = next((value for value in values if value.type in self.grammar.values), None)
            if found is not None:
                return found
        return None

    def of(self, node: Node) -> tuple[str, ...]:
        """Return the names that a node defines: its own, or those of its declarations."""
        if self._is_name(node):
            name = " ".join(self.text(node).split()).strip("\"'")
            return (name,) if 0 < len(name) <= _MAX_NAME_CHARS else ()
        if node.type in self.grammar.patterns:
            matched = self._matched(node)
            return (".".join(group for group in matched.groups() if group),) if matched is not None else ()
        if node.type not in self.grammar.names:
            return ()
        names = tuple(name for child in self._named(node) for name in self.of(child))
        # A definition has one name; several declarators name what they define several times.
        if node.type in self.grammar.definitions and self.grammar.names[node.type] != "declarator":
            names = names[:1]
        receiver = node.child_by_field_name("receiver")
        if receiver is not None and (owner := _RECEIVER.search(self.text(receiver))):
            return tuple(f"{owner[1]}.{name}" for name in names)
        return names

    def text(self, node: Node) -> str:
        """Return the text of a node."""
        # `Node.text` would call the read function again and copy 64 KiB for a name.
        return self.source[node.start_byte : node.end_byte].decode(errors="replace")

    def _named(self, node: Node) -> list[Node]:
        field = self.grammar.names[node.type]
        if field.startswith("<"):
            return [child for child in node.named_children if child.type == field[1:-1]]
        return node.children_by_field_name(field) if field else node.named_children

    def _matched(self, node: Node) -> re.Match[str] | None:
        head = self.source[node.start_byte : min(node.end_byte, node.start_byte + _MAX_PATTERN_BYTES)]
        return self.grammar.patterns[node.type].match(head.decode(errors="replace"))

    def _is_name(self, node: Node) -> bool:
        return node.type.endswith("identifier") or node.type in _NAME_KINDS or node.type in self.grammar.leaves
