"""What kind of values a schema allows, as far as a parameter or a body has to know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from memos_mcp.openapi.references import Definitions, Unresolvable

_OF_PROPERTIES: Final = frozenset({"properties", "required", "additionalProperties", "allOf", "type"})
_DESCRIBING: Final = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "example", "examples", "nullable"}
    | {"externalDocs", "xml", "$comment", "$id", "$schema", "$anchor", "$defs", "definitions", "discriminator"}
)
_TYPE_OF: Final = {"properties": "object", "items": "array"}


@dataclass(slots=True)
class ObjectShape:
    """The named properties of an object. `additional`: the schema of others, or None where nothing is written."""

    properties: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    additional: Any = None


def object_shape(schema: Any, definitions: Definitions) -> ObjectShape | None:
    """Return the properties of a schema that names them; None for other values, and for alternatives or conditions."""
    shape = ObjectShape()
    return shape if _add(schema, definitions, shape, set()) and shape.properties else None


def possible_types(schema: Any, definitions: Definitions) -> frozenset[str]:
    """Return the types that a schema names, also in its alternatives; nothing for any type."""
    return frozenset(_types(schema, definitions, set()))


def _add(schema: Any, definitions: Definitions, shape: ObjectShape, seen: set[str | int]) -> bool:
    """Add the properties of a schema to the shape; return False when they are not all that it says."""
    if _is_seen(schema, seen):
        return True
    try:
        schema = definitions.follow(schema)
    except Unresolvable:
        return False
    if not isinstance(schema, Mapping) or not _names_properties(schema):
        return False
    if "additionalProperties" in schema:
        if "allOf" in schema or shape.properties:
            return False  # the parts would close or open one another
        shape.additional = schema["additionalProperties"]
    for name, child in schema.get("properties", {}).items():
        known = shape.properties.get(name)
        shape.properties[name] = child if known is None or known == child else {"allOf": [known, child]}
    required = schema.get("required", [])
    shape.required += [name for name in required if isinstance(name, str) and name not in shape.required]
    return all(_add(part, definitions, shape, seen) for part in schema.get("allOf", []))


def _names_properties(schema: Mapping[str, Any]) -> bool:
    """Whether a schema says nothing of an object but its properties."""
    asserting = {keyword for keyword in schema if keyword not in _DESCRIBING and not keyword.startswith("x-")}
    return (
        asserting <= _OF_PROPERTIES
        and schema.get("type", "object") in ("object", ["object"], ["object", "null"])
        and isinstance(schema.get("properties", {}), Mapping)
        and isinstance(schema.get("required", []), list)
        and isinstance(schema.get("allOf", []), list)
    )


def _types(schema: Any, definitions: Definitions, seen: set[str | int]) -> Iterator[str]:
    if _is_seen(schema, seen):
        return
    try:
        schema = definitions.follow(schema)
    except Unresolvable:
        return
    if not isinstance(schema, Mapping):
        return
    named = schema.get("type", [type_ for keyword, type_ in _TYPE_OF.items() if keyword in schema])
    yield from (name for name in (named if isinstance(named, list) else [named]) if isinstance(name, str))
    for keyword in ("allOf", "anyOf", "oneOf"):
        if isinstance(parts := schema.get(keyword), list):
            for part in parts:
                yield from _types(part, definitions, seen)


def _is_seen(schema: Any, seen: set[str | int]) -> bool:
    """Whether a schema was met before, which ends circles and keeps the work linear; remember it."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    key = reference if isinstance(reference, str) else id(schema)
    if key in seen:
        return True
    seen.add(key)
    return False
