"""The grammars of languages that are compiled, or that run on the platform of one: Kotlin and Scala stand with Java."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from memos_mcp.ingest.code.grammar_rules import LEADING, Grammar, named, split_kinds

_C_DEFINITIONS = "function_definition struct_specifier union_specifier enum_specifier type_definition"
_C_NAMES = {
    **named("struct_specifier union_specifier enum_specifier preproc_def preproc_function_def"),
    **named("function_definition declaration type_definition pointer_declarator", "declarator"),
    **named("function_declarator init_declarator array_declarator field_declaration", "declarator"),
    **named("parenthesized_declarator attributed_declarator", ""),
}
_C_WRAPPERS = split_kinds("preproc_if preproc_ifdef preproc_else preproc_elif linkage_specification declaration_list")

_CPP = Grammar(
    "tree_sitter_cpp",
    {
        **_C_NAMES,
        **named("class_specifier namespace_definition alias_declaration concept_definition"),
        **named("template_declaration reference_declarator", ""),
    },
    split_kinds(f"{_C_DEFINITIONS} class_specifier namespace_definition"),
    split_kinds("class_specifier struct_specifier union_specifier namespace_definition"),
    _C_WRAPPERS,
)
_GO_TYPES = "type_spec type_alias const_spec var_spec"
_RUST_DEFINITIONS = "function_item struct_item enum_item union_item trait_item mod_item macro_definition impl_item"
_JAVA_TYPES = "class_declaration interface_declaration enum_declaration record_declaration annotation_type_declaration"
_JAVA_CALLABLE = "method_declaration constructor_declaration compact_constructor_declaration"
_KOTLIN_DEFINITIONS = "class_declaration object_declaration function_declaration"
_CSHARP_TYPES = "class_declaration struct_declaration record_declaration interface_declaration enum_declaration"
_CSHARP_MEMBERS = "method_declaration constructor_declaration destructor_declaration"
_CSHARP_OTHERS = "delegate_declaration local_function_statement namespace_declaration"
_SCALA_TYPES = "class_definition object_definition trait_definition enum_definition package_object"
_SWIFT_DEFINITIONS = "class_declaration protocol_declaration init_declaration"
_ZIG_CONTAINERS = "struct_declaration enum_declaration union_declaration opaque_declaration"
_HASKELL_TYPES = "data_type newtype class instance type_family data_family"

COMPILED: Final[Mapping[str, Grammar]] = {
    "go": Grammar(
        "tree_sitter_go",
        {
            **named(f"function_declaration method_declaration {_GO_TYPES}"),
            **named("type_declaration const_declaration var_declaration var_spec_list", ""),
        },
        split_kinds("function_declaration method_declaration type_spec"),
    ),
    "rust": Grammar(
        "tree_sitter_rust",
        {
            **named("function_item struct_item enum_item union_item trait_item mod_item macro_definition"),
            **named("function_signature_item const_item static_item type_item associated_type"),
            **named("impl_item generic_type reference_type", "type"),
        },
        split_kinds(_RUST_DEFINITIONS),
        split_kinds("trait_item mod_item impl_item"),
        split_kinds("foreign_mod_item"),
    ),
    "java": Grammar(
        "tree_sitter_java",
        {
            **named(f"{_JAVA_TYPES} {_JAVA_CALLABLE} variable_declarator enum_constant"),
            **named("field_declaration constant_declaration", "declarator"),
        },
        split_kinds(f"{_JAVA_TYPES} {_JAVA_CALLABLE}"),
        split_kinds(_JAVA_TYPES),
    ),
    "c": Grammar("tree_sitter_c", _C_NAMES, split_kinds(_C_DEFINITIONS), wrappers=_C_WRAPPERS),
    "cpp": _CPP,
    "cuda": replace(_CPP, module="tree_sitter_cuda"),
    "kotlin": Grammar(
        "tree_sitter_kotlin",
        {
            **named(_KOTLIN_DEFINITIONS),
            **named("type_alias", "type"),
            **named("property_declaration", "<variable_declaration>"),
            **named("variable_declaration enum_entry", "<identifier>"),
        },
        split_kinds(_KOTLIN_DEFINITIONS),
        split_kinds("class_declaration object_declaration"),
        split_kinds("companion_object"),
        bodies=split_kinds("class_body enum_class_body function_body"),
    ),
    "csharp": Grammar(
        "tree_sitter_c_sharp",
        {
            **named(f"{_CSHARP_TYPES} {_CSHARP_MEMBERS} {_CSHARP_OTHERS}"),
            **named("variable_declarator property_declaration event_declaration enum_member_declaration"),
            **named("field_declaration event_field_declaration", "<variable_declaration>"),
            **named("variable_declaration", "<variable_declarator>"),
        },
        split_kinds(f"{_CSHARP_TYPES} {_CSHARP_MEMBERS} {_CSHARP_OTHERS} operator_declaration indexer_declaration"),
        split_kinds(f"{_CSHARP_TYPES} namespace_declaration"),
        split_kinds("declaration_list"),
        leaves=split_kinds("qualified_name"),
    ),
    "scala": Grammar(
        "tree_sitter_scala",
        {
            **named(f"{_SCALA_TYPES} function_definition function_declaration type_definition given_definition"),
            **named("val_definition var_definition", "pattern"),
            **named("val_declaration var_declaration simple_enum_case full_enum_case"),
        },
        split_kinds(f"{_SCALA_TYPES} function_definition given_definition"),
        split_kinds(_SCALA_TYPES),
        split_kinds("extension_definition template_body"),
    ),
    "swift": Grammar(
        "tree_sitter_swift",
        {
            **named(f"{_SWIFT_DEFINITIONS} function_declaration protocol_function_declaration"),
            **named("typealias_declaration associatedtype_declaration enum_entry"),
            **named("property_declaration protocol_property_declaration"),
            **named("pattern", "bound_identifier"),
        },
        split_kinds(f"{_SWIFT_DEFINITIONS} function_declaration subscript_declaration deinit_declaration"),
        split_kinds("class_declaration protocol_declaration"),
        leaves=split_kinds("user_type init"),
    ),
    "zig": Grammar(
        "tree_sitter_zig",
        {
            **named("function_declaration container_field"),
            **named("variable_declaration", "<identifier>"),
            **named("test_declaration", ""),
        },
        split_kinds("function_declaration test_declaration"),
        split_kinds(_ZIG_CONTAINERS),
        leaves=split_kinds("string"),
        values=split_kinds(_ZIG_CONTAINERS),
    ),
    "haskell": Grammar(
        "tree_sitter_haskell",
        {
            **named(f"{_HASKELL_TYPES} function bind signature"),
            **named("type_synonym pattern_synonym foreign_import"),
        },
        split_kinds(f"{_HASKELL_TYPES} function"),
        split_kinds("class instance"),
        split_kinds("declarations"),
        comment="--",
        leaves=split_kinds("name variable prefix_id"),
        leading=LEADING | {"signature"},
    ),
}
