"""Checks that a schema is JSON Schema or an OpenAPI 3 schema object, without fetching or running anything in it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from jsonschema import (
    Draft3Validator,
    Draft4Validator,
    Draft6Validator,
    Draft7Validator,
    Draft201909Validator,
    Draft202012Validator,
)
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_json


def _address(name: object) -> str:
    """Reduce a `$schema` to what tells drafts apart; many write https where the draft says http."""
    return str(name).removeprefix("https://").removeprefix("http://").rstrip("#")


_OPENAPI_31: Final = "spec.openapis.org/oas/3.1/dialect/base"
_DATA: Final = frozenset({"enum", "const", "default", "example", "examples"})
_DIALECTS: Final[Mapping[str, type[Validator]]] = {
    _address(dialect.META_SCHEMA["$schema"]): dialect
    for dialect in (
        Draft3Validator,
        Draft4Validator,
        Draft6Validator,
        Draft7Validator,
        Draft201909Validator,
        Draft202012Validator,
    )
} | {_OPENAPI_31: Draft202012Validator}
"""OpenAPI 3.1 schema objects are JSON Schema 2020-12 with four keywords more, which assert nothing."""


def check_schema(field: str, schema: Mapping[str, Any] | None, *, max_chars: int) -> int:
    """Return the schema's size as compact JSON (0 for none); raise `Invalid` for what is not a usable schema.

    A schema without `$schema` may be JSON Schema 2020-12 or an OpenAPI 3.0 schema object, whose assertions are
    those of Draft 4 (https://spec.openapis.org/oas/v3.0.3#schema-object).
    """
    if schema is None:
        return 0
    check_json(field, schema, max_chars=max_chars)
    _refuse_remote_references(field, schema)
    problem = _problem(_dialect(field, schema), schema)
    if problem is not None and ("$schema" in schema or _problem(Draft4Validator, schema) is not None):
        raise Invalid(f"{field} is not JSON Schema: {problem}.")
    return len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


def _dialect(field: str, schema: Mapping[str, Any]) -> type[Validator]:
    if "$schema" not in schema:
        return Draft202012Validator
    dialect = _DIALECTS.get(_address(schema["$schema"]))
    if dialect is None:
        raise Invalid(f"{field} names an unknown $schema. Leave $schema out, or use a published JSON Schema draft.")
    return dialect


def _problem(dialect: type[Validator], schema: Mapping[str, Any]) -> str | None:
    error = best_match(dialect(dialect.META_SCHEMA).iter_errors(schema))
    if error is None:
        return None
    place = "/".join(str(step) for step in error.absolute_path) or "its top level"
    return f"at {place}, {error.message[:200]}"


def _refuse_remote_references(field: str, schema: Mapping[str, Any]) -> None:
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        if not isinstance(part, Mapping):
            continue
        pending.extend(child for keyword, child in part.items() if keyword not in _DATA)
        for keyword in ("$ref", "$dynamicRef"):
            target = part.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                raise Invalid(f"{field} refers to another document ({keyword}). Copy what it needs into $defs.")
