"""The node names of each language's syntax tree: one table for the single walker in `syntax`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Final

from tree_sitter import Language, Parser


@dataclass(frozen=True, slots=True)
class Grammar:
    """How to read one language's trees.

    `names` maps each kind of node that can have a name to the field with the name, or with the node that has it; "" is
    any child. `definitions` are the kinds that become units of their own; `holders` among them (classes, modules)
    contain definitions and constants that are visible outside. `wrappers` only enclose others and are always opened.
    """

    module: str
    names: Mapping[str, str]
    definitions: frozenset[str]
    holders: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset()
    function: str = "language"
    comment: str = "//"


LEADING: Final = frozenset(
    {"comment", "line_comment", "block_comment", "attribute_item", "decorator", "access_specifier"}
)
"""Nodes that precede a definition and belong to it."""

CALLABLE: Final = frozenset(
    {"arrow_function", "function_expression", "generator_function", "class", "lambda", "func_literal"}
)
"""Values that make an assignment a definition."""


def _named(kinds: str, field: str = "name") -> dict[str, str]:
    return dict.fromkeys(kinds.split(), field)


def _kinds(kinds: str) -> frozenset[str]:
    return frozenset(kinds.split())


_C_DEFINITIONS = "function_definition struct_specifier union_specifier enum_specifier type_definition"
_C_NAMES = {
    **_named("struct_specifier union_specifier enum_specifier preproc_def preproc_function_def"),
    **_named("function_definition declaration type_definition pointer_declarator", "declarator"),
    **_named("function_declarator init_declarator array_declarator field_declaration", "declarator"),
    **_named("parenthesized_declarator attributed_declarator", ""),
}
_C_WRAPPERS = _kinds("preproc_if preproc_ifdef preproc_else preproc_elif linkage_specification declaration_list")

_JS_DEFINITIONS = "function_declaration generator_function_declaration class_declaration method_definition"
_JS_NAMES = {
    **_named(f"{_JS_DEFINITIONS} variable_declarator"),
    **_named("export_statement", "declaration"),
    **_named("lexical_declaration variable_declaration expression_statement", ""),
    **_named("field_definition", "property"),
    **_named("assignment_expression", "left"),
    **_named("pair", "key"),
}
_TS_TYPES = "interface_declaration type_alias_declaration enum_declaration abstract_class_declaration internal_module"
_TS = Grammar(
    "tree_sitter_typescript",
    {
        **_JS_NAMES,
        **_named(f"{_TS_TYPES} module function_signature method_signature abstract_method_signature"),
        **_named("public_field_definition property_signature"),
        **_named("ambient_declaration", ""),
    },
    _kinds(f"{_JS_DEFINITIONS} {_TS_TYPES} module"),
    _kinds(f"class_declaration {_TS_TYPES} module"),
    function="language_typescript",
)
_GO_TYPES = "type_spec type_alias const_spec var_spec"
_RUST_DEFINITIONS = "function_item struct_item enum_item union_item trait_item mod_item macro_definition impl_item"
_JAVA_TYPES = "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration"
_JAVA_CALLABLE = "method_declaration constructor_declaration compact_constructor_declaration"

GRAMMARS: Final[Mapping[str, Grammar]] = {
    "python": Grammar(
        "tree_sitter_python",
        {
            **_named("function_definition class_definition"),
            **_named("decorated_definition", "definition"),
            **_named("expression_statement", ""),
            **_named("assignment type_alias_statement", "left"),
        },
        _kinds("function_definition class_definition"),
        _kinds("class_definition"),
        comment="#",
    ),
    "javascript": Grammar(
        "tree_sitter_javascript", _JS_NAMES, _kinds(_JS_DEFINITIONS), _kinds("class_declaration class object")
    ),
    "typescript": _TS,
    "tsx": Grammar(_TS.module, _TS.names, _TS.definitions, _TS.holders, function="language_tsx"),
    "go": Grammar(
        "tree_sitter_go",
        {
            **_named(f"function_declaration method_declaration {_GO_TYPES}"),
            **_named("type_declaration const_declaration var_declaration var_spec_list", ""),
        },
        _kinds("function_declaration method_declaration type_spec"),
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        {
            **_named("function_item struct_item enum_item union_item trait_item mod_item macro_definition"),
            **_named("function_signature_item const_item static_item type_item associated_type"),
            **_named("impl_item generic_type reference_type", "type"),
        },
        _kinds(_RUST_DEFINITIONS),
        _kinds("trait_item mod_item impl_item"),
        _kinds("foreign_mod_item"),
    ),
    "java": Grammar(
        "tree_sitter_java",
        {
            **_named(f"{_JAVA_TYPES} {_JAVA_CALLABLE} variable_declarator enum_constant"),
            **_named("field_declaration constant_declaration", "declarator"),
        },
        _kinds(f"{_JAVA_TYPES} {_JAVA_CALLABLE}"),
        _kinds(_JAVA_TYPES),
    ),
    "c": Grammar("tree_sitter_c", _C_NAMES, _kinds(_C_DEFINITIONS), wrappers=_C_WRAPPERS),
    "cpp": Grammar(
        "tree_sitter_cpp",
        {
            **_C_NAMES,
            **_named("class_specifier namespace_definition alias_declaration concept_definition"),
            **_named("template_declaration reference_declarator", ""),
        },
        _kinds(f"{_C_DEFINITIONS} class_specifier namespace_definition"),
        _kinds("class_specifier struct_specifier union_specifier namespace_definition"),
        _C_WRAPPERS,
    ),
}


@cache
def grammar_of(language: str) -> Language:
    """Return the grammar of a language, which is loaded from its wheel once."""
    grammar = GRAMMARS[language]
    return Language(getattr(import_module(grammar.module), grammar.function)())


def parser_for(language: str) -> Parser:
    """Return a new parser, because a parser is not thread-safe."""
    return Parser(grammar_of(language))
