"""Checks that a schema is JSON Schema or an OpenAPI 3 schema object, by the meta-schemas of their dialects."""

import json
from collections.abc import Mapping, Sequence
from itertools import repeat
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
from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES, parts
from memos_mcp.domain.limits import check_json

_NO_SCHEMAS: Final = frozenset({"dependencies", "dependentRequired", "$vocabulary"})
"""Keywords of names and values that hold lists or are not only schemas."""
_WORDS: Final = frozenset({"title", "description", "$comment"})


def _address(name: object) -> str:
    """Reduce a `$schema` to what distinguishes drafts; many write https where the draft says http."""
    return str(name).removeprefix("https://").removeprefix("http://").rstrip("#")


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
} | {"spec.openapis.org/oas/3.1/dialect/base": Draft202012Validator}
"""OpenAPI 3.1 schema objects are JSON Schema 2020-12 with four more keywords, which assert nothing."""


def dialects(schema: Mapping[str, Any]) -> Sequence[type[Validator]]:
    """Return the dialects that a schema may be written in, the likeliest first; none for an unknown `$schema`.

    A schema without `$schema` may be JSON Schema 2020-12 or an OpenAPI 3.0 schema object, whose assertions are
    those of Draft 4 (https://spec.openapis.org/oas/v3.0.3#schema-object).
    """
    if "$schema" not in schema:
        return Draft202012Validator, Draft4Validator
    named = _DIALECTS.get(_address(schema["$schema"]))
    return () if named is None else (named,)


def check_schema(field: str, schema: Mapping[str, Any] | None, *, max_chars: int) -> int:
    """Return the schema's size as compact JSON (0 for none); raise `Invalid` for what is not a usable schema."""
    if schema is None:
        return 0
    check_json(field, schema, max_chars=max_chars)
    _refuse_remote_references(field, schema)
    possible = dialects(schema)
    if not possible:
        raise Invalid(f"{field} names an unknown $schema. Leave $schema out, or use a published JSON Schema draft.")
    problems = map(schema_problem, possible, repeat(schema))
    if (first := next(problems)) is not None and None not in problems:
        raise Invalid(f"{field} is not JSON Schema: {first}.")
    return len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


def schema_problem(dialect: type[Validator], schema: Mapping[str, Any]) -> str | None:
    """Return what the meta-schema of a dialect refuses in a schema, or None.

    The parts are checked one by one, each shape once: a whole schema of a megabyte would take ten seconds.
    """
    checked: set[str] = set()
    validator = dialect(dialect.META_SCHEMA)
    for part in parts(schema):
        shape = {keyword: _shape(keyword, child) for keyword, child in part.items() if not keyword.startswith("x-")}
        text = json.dumps(shape, sort_keys=True)
        if text not in checked and not validator.is_valid(shape):
            return _described(validator, schema)
        checked.add(text)
    return None


def _shape(keyword: str, child: Any) -> Any:
    """Return the value of a keyword without the schemas in it, which are parts of their own, and without its words."""
    if keyword in _NO_SCHEMAS:
        return child
    if isinstance(child, str) and keyword in _WORDS:
        return ""
    if keyword in NAMED_SCHEMAS and isinstance(child, Mapping):
        return [entry for entry in child.values() if not isinstance(entry, Mapping | bool)] or {}
    if isinstance(child, list) and keyword not in VALUES:
        return [{} if isinstance(entry, Mapping) else entry for entry in child]
    return {} if isinstance(child, Mapping) and keyword not in VALUES else child


def _described(validator: Validator, schema: Mapping[str, Any]) -> str | None:
    try:
        error = best_match(validator.iter_errors(schema))
    except TypeError:  # it cannot compare the errors of Draft 3, whose types may be schemas
        error = next(iter(validator.iter_errors(schema)), None)
    if error is None:
        return None
    where = "/".join(str(step) for step in error.absolute_path) or "its top level"
    return f"at {where}, {error.message[:200]}"


def _refuse_remote_references(field: str, schema: Mapping[str, Any]) -> None:
    for part in parts(schema):
        for keyword in ("$ref", "$dynamicRef"):
            target = part.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                raise Invalid(f"{field} refers to another document ({keyword}). Copy what it needs into $defs.")
