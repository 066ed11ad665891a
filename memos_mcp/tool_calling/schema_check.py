"""Checks values against a tool's schemas: JSON Schema of any draft, or an OpenAPI 3 schema object. Fetches nothing."""

from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES, dialects

SHOWN_CHARS: Final = 200

_EMPTY_REGISTRY: Final[Registry[Any]] = Registry()
"""Without it, jsonschema would fetch the targets of `$ref`."""


class UnusableSchema(Exception):
    """A schema cannot be used to check values. The message gives the reason."""


def find_violation(schema: Mapping[str, Any] | None, value: Any) -> str | None:
    """Return the first violation of the schema, or None; raise `UnusableSchema` if the schema is invalid."""
    if schema is None:
        return None
    try:
        error = best_match(_validator(schema).iter_errors(value))
    except SchemaError as flaw:
        raise UnusableSchema(f"it is not JSON Schema: {_short(flaw.message)}") from None
    except Unresolvable:
        raise UnusableSchema("it refers to something that is not in it") from None
    except (RecursionError, ValueError, TypeError, ArithmeticError):  # a bad pattern, a circular reference, 1e999
        raise UnusableSchema("nothing can be checked against it") from None
    if error is None:
        return None
    path = "/".join(map(str, error.absolute_path))
    return f"{f'at {path[:80]}: ' if path else ''}{_short(error.message)}"


def _validator(schema: Mapping[str, Any]) -> Validator:
    """Return a validator of the first dialect that accepts the schema; raise `SchemaError` if none does.

    A schema without `$schema` may be OpenAPI 3.0, which has `nullable`.
    """
    converted = dict(schema) if "$schema" in schema else _with_null(schema)
    for dialect in (possible := dialects(schema) or (Draft202012Validator,)):
        try:
            dialect.check_schema(converted)
        except SchemaError:
            if dialect is possible[-1]:
                raise
        else:
            return dialect(converted, registry=_EMPTY_REGISTRY)
    raise AssertionError("unreachable: there is always a dialect")


def _with_null(schema: Any) -> Any:
    """Convert `nullable: true` to JSON Schema: null becomes one of the types and of the enum."""
    if isinstance(schema, list):
        return [_with_null(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    written = {keyword: _part(keyword, part) for keyword, part in schema.items()}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        written["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list):
            written["enum"] = [*schema["enum"], *([] if None in schema["enum"] else [None])]
    return written


def _part(keyword: str, part: Any) -> Any:
    if keyword in VALUES:
        return part
    if keyword in NAMED_SCHEMAS and isinstance(part, Mapping):
        return {name: _with_null(child) for name, child in part.items()}
    return _with_null(part)


def _short(message: str) -> str:
    return message if len(message) <= SHOWN_CHARS else f"{message[: SHOWN_CHARS // 2]} … {message[-SHOWN_CHARS // 2 :]}"
