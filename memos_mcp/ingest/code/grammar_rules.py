"""What the walker in `syntax` must know of a language's syntax tree: the names of its nodes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from re import Pattern
from typing import Final

CALLABLE: Final = frozenset(
    {"arrow_function", "function_expression", "generator_function", "class", "lambda", "func_literal"}
)
"""Values that make an assignment a definition."""

LEADING: Final = frozenset(
    {
        *("comment", "line_comment", "block_comment", "multiline_comment", "marginalia", "haddock"),
        *("attribute_item", "decorator", "access_specifier"),
    }
)
"""Nodes that precede a definition and belong to it."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """How to read one language's trees.

    `names` maps each kind of node that can have a name to the field with the name, or with the node that has it; "" is
    any child, `<kind>` each child of that kind. `patterns` are for kinds that are definitions only where their text
    matches, and are named by its groups. `leaves` are kinds that are a name as a whole, besides identifiers.

    `definitions` are the kinds that become units of their own; `holders` among them (classes, modules) contain
    definitions and constants that are visible outside. `wrappers` only enclose others and are always opened. `values`
    make an assignment a definition, `leading` nodes belong to the definition that they precede, and `bodies` are the
    bodies that are in no field of that name. The first lines of `joined` kinds stay with their first part. `prepare`
    makes a source parseable without moving a byte.
    """

    module: str
    names: Mapping[str, str]
    definitions: frozenset[str]
    holders: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset()
    function: str = "language"
    comment: str = "//"
    leaves: frozenset[str] = frozenset()
    patterns: Mapping[str, Pattern[str]] = field(default_factory=dict)
    values: frozenset[str] = CALLABLE
    leading: frozenset[str] = LEADING
    bodies: frozenset[str] = frozenset()
    joined: frozenset[str] = frozenset()
    prepare: Callable[[bytes], bytes] = bytes


def named(kinds: str, field: str = "name") -> dict[str, str]:
    """Return `Grammar.names` for kinds that have their names in the same field."""
    return dict.fromkeys(kinds.split(), field)


def split_kinds(kinds: str) -> frozenset[str]:
    """Return kinds that are separated by spaces."""
    return frozenset(kinds.split())
