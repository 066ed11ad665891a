"""Checks values against a tool's schemas: JSON Schema of any draft, or an OpenAPI 3 schema object. Fetches nothing."""

import re
from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES
from memos_mcp.domain.schema_dialects import dialects, schema_problem

SHOWN_CHARS: Final = 200

_EMPTY_REGISTRY: Final[Registry[Any]] = Registry()
"""Without it, jsonschema would fetch the targets of `$ref`."""


_COMBINERS: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "not", "const"})
"""Keywords that refuse null, whatever the type beside them says."""
_DEFINITIONS: Final = ("$defs", "definitions", "components")
"""Keywords that references of the whole schema lead to: they stay where they are."""

_FLAWS: Final = (re.error, RecursionError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""Raised by jsonschema for a bad pattern, a circle, 1e999, and what Draft 4 does not refuse, such as a null `$ref`."""


class UnusableSchema(Exception):
    """A schema cannot be used to check values. The message gives the reason."""


def find_violation(schema: Mapping[str, Any] | None, value: Any) -> str | None:
    """Return the first violation of the schema, or None; raise `UnusableSchema` if the schema is invalid."""
    if schema is None:
        return None
    try:
        error = best_match(_validator(schema).iter_errors(value))
    except Unresolvable:
        raise UnusableSchema("it refers to something that is not in it") from None
    except _FLAWS:
        raise UnusableSchema("nothing can be checked against it") from None
    if error is None:
        return None
    path = "/".join(map(str, error.absolute_path))
    return f"{f'at {path[:80]}: ' if path else ''}{_short(error.message)}"


def _validator(schema: Mapping[str, Any]) -> Validator:
    """Return a validator of the first dialect that accepts the schema; raise `UnusableSchema` if none does.

    A schema without `$schema` may be OpenAPI 3.0, which has `nullable`.
    """
    converted = dict(schema) if "$schema" in schema else _with_null(schema)
    problem = None
    for dialect in dialects(schema) or (Draft202012Validator,):
        found = schema_problem(dialect, converted)
        if found is None:
            return dialect(converted, registry=_EMPTY_REGISTRY)
        problem = problem or found
    raise UnusableSchema(f"it is not JSON Schema: {problem}")


def _with_null(schema: Any) -> Any:
    """Convert `nullable: true` to JSON Schema: null becomes one of the types, or what a value may be instead."""
    if isinstance(schema, list):
        return [_with_null(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    written = {keyword: _part(keyword, part) for keyword, part in schema.items()}
    if schema.get("nullable") is not True:
        return written
    if "type" in schema and not _COMBINERS & schema.keys():
        named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        written["type"] = [*named, *([] if "null" in named else ["null"])]
        if isinstance(schema.get("enum"), list):
            written["enum"] = [*schema["enum"], *([] if None in schema["enum"] else [None])]
        return written
    definitions = {keyword: written.pop(keyword) for keyword in _DEFINITIONS if keyword in written}
    return {**definitions, "anyOf": [{"type": "null"}, written]}


def _part(keyword: str, part: Any) -> Any:
    if keyword in VALUES:
        return part
    if keyword in NAMED_SCHEMAS and isinstance(part, Mapping):
        return {name: _with_null(child) for name, child in part.items()}
    return _with_null(part)


def _short(message: str) -> str:
    return message if len(message) <= SHOWN_CHARS else f"{message[: SHOWN_CHARS // 2]} … {message[-SHOWN_CHARS // 2 :]}"
