"""The grammars of all languages whose own project publishes wheels, which are loaded when they are needed."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from tree_sitter import Language, Parser

from memos_mcp.ingest.code.compiled_grammars import COMPILED
from memos_mcp.ingest.code.grammar_rules import Grammar
from memos_mcp.ingest.code.script_grammars import SCRIPTS

GRAMMARS: Final[Mapping[str, Grammar]] = {**COMPILED, **SCRIPTS}


@cache
def grammar_of(language: str) -> Language:
    """Return the grammar of a language, which is loaded from its wheel once."""
    grammar = GRAMMARS[language]
    return Language(getattr(import_module(grammar.module), grammar.function)())


def parser_for(language: str) -> Parser:
    """Return a new parser, because a parser is not thread-safe."""
    return Parser(grammar_of(language))
