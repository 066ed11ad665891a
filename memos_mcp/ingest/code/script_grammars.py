"""The grammars of languages that are interpreted, and of those that declare: SQL, YAML, Terraform."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from memos_mcp.ingest.code.grammar_rules import CALLABLE, LEADING, Grammar, named, split_kinds
from memos_mcp.ingest.code.sql_text import hide_other_languages

_JS_DEFINITIONS = "function_declaration generator_function_declaration class_declaration method_definition"
_JS_NAMES = {
    **named(f"{_JS_DEFINITIONS} variable_declarator"),
    **named("export_statement", "declaration"),
    **named("lexical_declaration variable_declaration expression_statement", ""),
    **named("assignment_expression", "left"),
    **named("pair", "key"),
}
_TS_TYPES = "interface_declaration type_alias_declaration enum_declaration abstract_class_declaration internal_module"
_TS = Grammar(
    "tree_sitter_typescript",
    {
        **_JS_NAMES,
        **named(f"{_TS_TYPES} module function_signature method_signature abstract_method_signature"),
        **named("public_field_definition property_signature"),
        **named("ambient_declaration", ""),
    },
    split_kinds(f"{_JS_DEFINITIONS} {_TS_TYPES} module"),
    split_kinds(f"class_declaration {_TS_TYPES} module"),
    function="language_typescript",
)
_PHP_TYPES = "class_declaration interface_declaration trait_declaration enum_declaration"
_RUBY_DEFINITIONS = "class module method singleton_method"
_SQL_DEFINITIONS = (
    "create_table create_view create_materialized_view create_function create_procedure create_type create_trigger "
    "create_schema create_sequence create_extension create_policy create_role create_database"
)
_HCL = Grammar(
    "tree_sitter_hcl",
    {},
    frozenset(),
    wrappers=split_kinds("body"),
    comment="#",
    patterns={"block": re.compile(r'([\w-]+)(?:[ \t]+"([^"\n]*)")?(?:[ \t]+"([^"\n]*)")?')},
)

SCRIPTS: Final[Mapping[str, Grammar]] = {
    "python": Grammar(
        "tree_sitter_python",
        {
            **named("function_definition class_definition"),
            **named("decorated_definition", "definition"),
            **named("expression_statement", ""),
            **named("assignment type_alias_statement", "left"),
        },
        split_kinds("function_definition class_definition"),
        split_kinds("class_definition"),
        comment="#",
    ),
    "javascript": Grammar(
        "tree_sitter_javascript",
        {**_JS_NAMES, **named("field_definition", "property")},
        split_kinds(_JS_DEFINITIONS),
        split_kinds("class_declaration class object"),
    ),
    "typescript": _TS,
    "tsx": replace(_TS, function="language_tsx"),
    "ruby": Grammar(
        "tree_sitter_ruby",
        {**named(_RUBY_DEFINITIONS), **named("assignment", "left")},
        split_kinds(_RUBY_DEFINITIONS),
        split_kinds("class module"),
        split_kinds("singleton_class"),
        comment="#",
        leaves=split_kinds("constant scope_resolution setter operator"),
    ),
    "php": Grammar(
        "tree_sitter_php",
        {
            **named(f"{_PHP_TYPES} method_declaration function_definition property_element"),
            **named("const_declaration", "<const_element>"),
            **named("const_element", "<name>"),
            **named("property_declaration", "<property_element>"),
        },
        split_kinds(f"{_PHP_TYPES} method_declaration function_definition"),
        split_kinds(_PHP_TYPES),
        function="language_php",
        leaves=split_kinds("name variable_name"),
    ),
    "lua": Grammar(
        "tree_sitter_lua",
        {**named("function_declaration"), **named("variable_declaration assignment_statement variable_list", "")},
        split_kinds("function_declaration"),
        comment="--",
        leaves=split_kinds("dot_index_expression method_index_expression"),
        values=CALLABLE | {"function_definition"},
    ),
    "elixir": Grammar(
        "tree_sitter_elixir",
        {},
        frozenset(),
        comment="#",
        patterns={
            "call": re.compile(
                r"(?:def(?:module|protocol|impl|p|macrop?|guardp?|delegate)?)[ \t]+([\w.]+[?!]?)"
                r'|(?:test|describe)[ \t]+"([^"\n]*)"'
            )
        },
        leading=LEADING | {"unary_operator"},
    ),
    "shell": Grammar(
        "tree_sitter_bash",
        {**named("function_definition variable_assignment"), **named("declaration_command", "<variable_assignment>")},
        split_kinds("function_definition"),
        comment="#",
        leaves=split_kinds("word variable_name"),
    ),
    "sql": Grammar(
        "tree_sitter_sql",
        {**named(f"{_SQL_DEFINITIONS} statement", ""), **named("create_index", "column")},
        split_kinds(f"{_SQL_DEFINITIONS} create_index"),
        comment="--",
        leaves=split_kinds("object_reference"),
        prepare=hide_other_languages,
    ),
    "yaml": Grammar(
        "tree_sitter_yaml",
        named("block_mapping_pair", "key"),
        split_kinds("block_mapping_pair"),
        split_kinds("block_mapping_pair"),
        split_kinds("document block_node block_mapping block_sequence block_sequence_item"),
        comment="#",
        leaves=split_kinds("flow_node"),
        joined=split_kinds("block_mapping_pair"),
    ),
    "terraform": _HCL,
    "hcl": _HCL,
}
