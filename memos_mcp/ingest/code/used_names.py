"""The names that a source uses: what it calls, what its types are, and what it imports.

Each query is in tree-sitter's query language: `@name` captures a used name, `@import` a statement that imports.
"""

import builtins
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from tree_sitter import Node, Query, QueryCursor

from memos_mcp.domain.chunk import MAX_USES, Links
from memos_mcp.ingest.code.grammars import grammar_of

_JS: Final = """
    (call_expression function: [(identifier) @name (member_expression property: (property_identifier) @name)])
    (new_expression constructor: (identifier) @name)
    (class_heritage [(identifier) @name (extends_clause value: (identifier) @name)])
    (import_statement) @import
"""
_JSX: Final = """
    (jsx_opening_element name: (identifier) @name)
    (jsx_self_closing_element name: (identifier) @name)
"""
_C: Final = """
    (call_expression function: [(identifier) @name (field_expression field: (field_identifier) @name)])
    (type_identifier) @name
    (preproc_include) @import
"""
_CPP: Final = f"{_C} (qualified_identifier name: (identifier) @name)"
_TS: Final = f"{_JS.replace('(class_heritage [(identifier) @name ', '(class_heritage [')} (type_identifier) @name"

QUERIES: Final[Mapping[str, str]] = {
    "python": """
        (call function: [(identifier) @name (attribute attribute: (identifier) @name)])
        (decorator [(identifier) @name (attribute attribute: (identifier) @name)])
        (class_definition superclasses: (argument_list [(identifier) @name (attribute attribute: (identifier) @name)]))
        (type (identifier) @name)
        [(import_statement) (import_from_statement)] @import
    """,
    "javascript": _JS.replace(" (extends_clause value: (identifier) @name)", "") + _JSX,
    "typescript": _TS,
    "tsx": _TS + _JSX,
    "go": """
        (call_expression function: [(identifier) @name (selector_expression field: (field_identifier) @name)])
        (type_identifier) @name
        (import_spec) @import
    """,
    "rust": """
        (call_expression function: [
            (identifier) @name
            (scoped_identifier name: (identifier) @name)
            (field_expression field: (field_identifier) @name)
        ])
        (macro_invocation macro: (identifier) @name)
        (type_identifier) @name
        (use_declaration) @import
    """,
    "java": """
        (method_invocation name: (identifier) @name)
        (type_identifier) @name
        (import_declaration) @import
    """,
    "c": _C,
    "cpp": _CPP,
    "cuda": _CPP,
    "kotlin": """
        (call_expression . [(identifier) @name (navigation_expression (identifier) @name .)])
        (user_type (identifier) @name)
        (import) @import
    """,
    "csharp": """
        (invocation_expression function: [(identifier) @name (member_access_expression name: (identifier) @name)])
        (object_creation_expression type: (identifier) @name)
        (base_list (identifier) @name)
        (using_directive) @import
    """,
    "scala": """
        (call_expression function: [(identifier) @name (field_expression field: (identifier) @name)])
        (type_identifier) @name
        (import_declaration) @import
    """,
    "swift": """
        (call_expression . [
            (simple_identifier) @name
            (navigation_expression suffix: (navigation_suffix suffix: (simple_identifier) @name))
        ])
        (type_identifier) @name
    """,
    "zig": "(call_expression function: [(identifier) @name (field_expression member: (identifier) @name)])",
    "haskell": "(apply function: (variable) @name) (name) @name (import) @import",
    "ruby": "(call method: (identifier) @name) (constant) @name",
    "php": """
        (function_call_expression function: (name) @name)
        (member_call_expression name: (name) @name)
        (scoped_call_expression name: (name) @name)
        (object_creation_expression (name) @name)
        (named_type (name) @name)
        (namespace_use_declaration) @import
    """,
    "lua": """
        (function_call name: [
            (identifier) @name
            (dot_index_expression field: (identifier) @name)
            (method_index_expression method: (identifier) @name)
        ])
    """,
    "elixir": """
        (call target: [(identifier) @name (dot right: (identifier) @name)])
        (alias) @name
    """,
    "shell": "(command name: (command_name (word) @name))",
    "sql": "(object_reference name: (identifier) @name)",
}

MAX_IMPORTS: Final = 6
_MAX_CHARS: Final = 80
_MIN_CHARS: Final = 2
_MAX_IMPORT_BYTES: Final = 2_000
_MAX_IMPORT_CHARS: Final = 160
_BUILT_IN: Final = frozenset(dir(builtins)) | frozenset(
    {"Int", "String", "Self", "boolean", "number", "string", "void"}
)
"""Names that no project defines, which no query has to resolve."""
_WORD: Final = re.compile(r"\w+")
_IMPORT_KEYWORDS: Final = frozenset({"as", "from", "import", "include", "qualified", "static", "type", "use", "using"})
_SEPARATOR: Final = re.compile(r"[.:#]+")


@dataclass(frozen=True, slots=True)
class UsedNames:
    """The names that a source uses with the lines they are in, in order, and the words of its imports."""

    names: tuple[tuple[int, str], ...]
    distinct: frozenset[str]
    imports: tuple[tuple[str, ...], ...]

    def links(self, first: int, end: int, text: str, defined: tuple[str, ...]) -> Links:
        """Return the links of the lines from `first` to `end`, excluded, that define these names.

        Names that the source imports come first, because they are surely defined elsewhere.
        """
        simple = (_SEPARATOR.split(name)[-1] for name in defined)
        defines = tuple(dict.fromkeys(name for name in simple if len(name) >= _MIN_CHARS))
        start, stop = (bisect_left(self.names, (line, "")) for line in (first, end))
        used = dict.fromkeys(name for _, name in self.names[start:stop] if name not in defines)
        words = frozenset(_WORD.findall(text))
        imports = [one for one in self.imports if not words.isdisjoint(one)]
        imported = frozenset(word for one in imports for word in one)
        uses = sorted(used, key=lambda name: name not in imported)
        imports.sort(key=lambda one: used.keys().isdisjoint(one))
        # Of the names of a long import, only those that these lines have are kept.
        elsewhere = self.distinct - words
        joined = dict.fromkeys(".".join(word for word in one if word not in elsewhere) for one in imports)
        short = [one for one in joined if len(one) <= _MAX_IMPORT_CHARS]
        return Links(defines, tuple(uses[:MAX_USES]), tuple(short[:MAX_IMPORTS]))


def used_names(root: Node, source: bytes, language: str) -> UsedNames | None:
    """Return the names that a source uses; None for a language without calls and imports."""
    if language not in QUERIES:
        return None
    captured = QueryCursor(_query(language)).captures(root)
    names = (
        (node.start_point.row, source[node.start_byte : node.end_byte].decode(errors="replace"))
        for node in captured.get("name", ())
    )
    simple = ((row, _SEPARATOR.split(name)[-1]) for row, name in names)
    kept = sorted(
        (row, name) for row, name in simple if _MIN_CHARS <= len(name) <= _MAX_CHARS and not _is_built_in(name)
    )
    return UsedNames(
        tuple(kept), frozenset(name for _, name in kept), tuple(_imports(captured.get("import", ()), source))
    )


def _is_built_in(name: str) -> bool:
    return name in _BUILT_IN or (name.startswith("__") and name.endswith("__"))


def _imports(nodes: list[Node] | tuple[Node, ...], source: bytes) -> Iterator[tuple[str, ...]]:
    for node in nodes:
        text = source[node.start_byte : min(node.end_byte, node.start_byte + _MAX_IMPORT_BYTES)]
        words = (word for word in _WORD.findall(text.decode(errors="replace")) if word not in _IMPORT_KEYWORDS)
        if kept := tuple(dict.fromkeys(word for word in words if len(word) <= _MAX_CHARS)):
            yield kept


@cache
def _query(language: str) -> Query:
    return Query(grammar_of(language), QUERIES[language])
