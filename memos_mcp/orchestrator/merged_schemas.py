"""Combines schemas that hold no references: all of them, any of them, or null as well. Pure.

Both may accept more than the combination of JSON Schema, and never less.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

NOTHING: Final[Mapping[str, Any]] = {"not": {}}
"""The schema that accepts nothing."""


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema for what both accept. Where both have a keyword that cannot be combined, the first one counts."""
    if NOTHING in (first, second):
        return dict(NOTHING)
    whole = {**second, **first}
    if "properties" in first and "properties" in second:
        whole["properties"] = {**second["properties"], **first["properties"]}
        for name in first["properties"].keys() & second["properties"].keys():
            whole["properties"][name] = merged(first["properties"][name], second["properties"][name])
    if "required" in first and "required" in second:
        whole["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    if "type" in first and "type" in second:
        common = _common_types(types_of(first), types_of(second))
        if not common:
            return dict(NOTHING)
        whole["type"] = common[0] if len(common) == 1 else common
    if "enum" in first and "enum" in second:
        whole["enum"] = [value for value in first["enum"] if value in second["enum"]] or first["enum"]
    return whole


def any_of(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a schema for what any of the members accepts."""
    possible: list[dict[str, Any]] = []
    for member in members:
        if member != NOTHING and member not in possible:
            possible.append(dict(member))
    if not possible:
        return dict(NOTHING) if members else {}
    if {} in possible:
        return {}
    return possible[0] if len(possible) == 1 else {"anyOf": possible}


def any_object(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one object schema for what any of these object schemas accepts."""
    variants: dict[str, list[Mapping[str, Any]]] = {}
    for member in members:
        for name, child in member.get("properties", {}).items():
            variants.setdefault(name, []).append(child)
    common = [name for name in members[0].get("required", ()) if all(name in m.get("required", ()) for m in members)]
    whole: dict[str, Any] = {"properties": {name: any_of(children) for name, children in variants.items()}}
    return {**whole, "required": common} if common else whole


def nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that accepts null as well."""
    whole = dict(schema)
    if "type" in whole and "null" not in types_of(whole):
        whole["type"] = [*types_of(whole), "null"]
    if "const" in whole:
        whole["enum"] = [whole.pop("const")]
    if "enum" in whole and None not in whole["enum"]:
        whole["enum"] = [*whole["enum"], None]
    if "anyOf" in whole and {"type": "null"} not in whole["anyOf"]:
        whole["anyOf"] = [*whole["anyOf"], {"type": "null"}]
    return whole


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema names."""
    given = schema.get("type", [])
    return list(given) if isinstance(given, list) else [given]


def _common_types(first: Sequence[str], second: Sequence[str]) -> list[str]:
    whole = [one for one in first if one in second]
    if "integer" not in whole and "integer" in [*first, *second] and "number" in [*first, *second]:
        whole.append("integer")  # every integer is a number
    return whole
