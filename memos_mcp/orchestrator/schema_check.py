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

_NOWHERE: Final[Registry[Any]] = Registry()
"""Without it, jsonschema would fetch what a `$ref` names."""


class Unusable(Exception):
    """A schema that nothing can be checked against; the message says why."""


def problem(schema: Mapping[str, Any] | None, value: Any) -> str | None:
    """Say what is wrong with a value, or None; raise `Unusable` when the schema is no schema."""
    if schema is None:
        return None
    try:
        error = best_match(_validator(schema).iter_errors(value))
    except SchemaError as flaw:
        raise Unusable(f"it is not JSON Schema: {_short(flaw.message)}") from None
    except Unresolvable:
        raise Unusable("it refers to something that is not in it") from None
    except (RecursionError, ValueError, TypeError, ArithmeticError):  # a bad pattern, a circle, 1e999
        raise Unusable("nothing can be checked against it") from None
    if error is None:
        return None
    place = "/".join(str(step) for step in error.absolute_path)
    return f"{f'at {place[:80]}: ' if place else ''}{_short(error.message)}"


def _validator(schema: Mapping[str, Any]) -> Validator:
    """Return the validator of the first dialect that the schema fits; raise `SchemaError` when it fits none.

    A schema without `$schema` may be of OpenAPI 3.0, which has `nullable`.
    """
    whole = dict(schema) if "$schema" in schema else _with_null(schema)
    for dialect in (possible := dialects(schema) or (Draft202012Validator,)):
        try:
            dialect.check_schema(whole)
        except SchemaError:
            if dialect is possible[-1]:
                raise
        else:
            return dialect(whole, registry=_NOWHERE)
    raise AssertionError("unreachable: there is always a dialect")


def _with_null(schema: Any) -> Any:
    """Write `nullable: true` as JSON Schema has it: null is one of the types, and of the enum."""
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
