"""Checks values against a tool's schemas: JSON Schema of any draft, or an OpenAPI 3 schema object. Fetches nothing."""

from collections.abc import Mapping
from typing import Any, Final

from jsonschema import Draft4Validator, Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

SHOWN_CHARS: Final = 200

_VALUES: Final = frozenset({"enum", "const", "default", "example", "examples"})
_NAMED: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
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
    """Return the checker of the draft that a schema names; one that names none may be of OpenAPI 3.0.

    The assertions of OpenAPI 3.0 are those of Draft 4, and `nullable`
    (https://spec.openapis.org/oas/v3.0.3#schema-object).
    """
    if "$schema" in schema:
        dialect = validator_for({"$schema": _spelled(schema["$schema"])}, default=Draft202012Validator)
        whole = dict(schema)
        dialect.check_schema(whole)
        return dialect(whole, registry=_NOWHERE)
    nullable = _with_null(schema)
    try:
        Draft202012Validator.check_schema(nullable)
    except SchemaError:
        Draft4Validator.check_schema(nullable)
        return Draft4Validator(nullable, registry=_NOWHERE)
    return Draft202012Validator(nullable, registry=_NOWHERE)


def _spelled(address: object) -> str:
    """Write a `$schema` as its draft does: 2019-09 and later with https, the earlier ones with http."""
    rest = str(address).removeprefix("https://").removeprefix("http://").rstrip("#")
    return f"https://{rest}" if "/draft/" in rest else f"http://{rest}#"


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
    if keyword in _VALUES:
        return part
    if keyword in _NAMED and isinstance(part, Mapping):
        return {name: _with_null(child) for name, child in part.items()}
    return _with_null(part)


def _short(message: str) -> str:
    return message if len(message) <= SHOWN_CHARS else f"{message[: SHOWN_CHARS // 2]} … {message[-SHOWN_CHARS // 2 :]}"
