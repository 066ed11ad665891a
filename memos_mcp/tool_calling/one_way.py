"""Properties that are sent in one direction only, as OpenAPI has them. Pure.

A `readOnly` property is no part of a request, a `writeOnly` one no part of an answer, and where it is no part it is not
required (https://spec.openapis.org/oas/v3.0.3#fixed-fields-20).
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES, find_reference, parts
from memos_mcp.domain.request_locations import named_properties

OneWay: TypeAlias = Literal["readOnly", "writeOnly"]


def relaxed(schema: Mapping[str, Any], keyword: OneWay) -> Mapping[str, Any]:
    """Return the schema with the properties that are marked by the keyword no longer required."""
    if not any(part.get(keyword) is True for part in parts(schema)):
        return schema
    whole: Mapping[str, Any] = _relaxed(schema, schema, keyword, frozenset())
    return whole


def without_read_only(value: Any, schema: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return a value without its `readOnly` properties, and the paths of those that it had."""
    removed: list[str] = []
    if any(part.get("readOnly") is True for part in parts(schema)):
        value = _stripped(value, schema, schema, "", removed)
    return value, removed


def is_marked(definition: Any, root: Mapping[str, Any], keyword: OneWay) -> bool:
    """Return whether the definition of a property, or what it refers to, is marked by the keyword."""
    if not isinstance(definition, Mapping):
        return False
    referred = find_reference(root, definition.get("$ref"))
    return definition.get(keyword) is True or (isinstance(referred, Mapping) and referred.get(keyword) is True)


def _relaxed(part: Any, root: Mapping[str, Any], keyword: OneWay, outer: frozenset[str]) -> Any:
    """`outer` has the names that are marked where this part is one of an `allOf`."""
    if isinstance(part, list):
        return [_relaxed(child, root, keyword, outer) for child in part]
    if not isinstance(part, Mapping):
        return part
    marked = outer | {
        name for name, definition in named_properties(part, root).items() if is_marked(definition, root, keyword)
    }
    written: dict[str, Any] = {}
    for name, child in part.items():
        if name == "required" and isinstance(child, list):
            if names := [entry for entry in child if entry not in marked]:  # Draft 4 allows no empty list
                written[name] = names
        elif name in NAMED_SCHEMAS and isinstance(child, Mapping):
            written[name] = {key: _relaxed(entry, root, keyword, frozenset()) for key, entry in child.items()}
        else:
            inner = marked if name == "allOf" else frozenset[str]()
            written[name] = child if name in VALUES else _relaxed(child, root, keyword, inner)
    return written


def _stripped(value: Any, schema: Any, root: Mapping[str, Any], path: str, removed: list[str]) -> Any:
    if not isinstance(schema, Mapping):
        return value
    if isinstance(value, Mapping):
        properties = named_properties(schema, root)
        kept = {}
        for name, part in value.items():
            definition = properties.get(name, schema.get("additionalProperties"))
            if is_marked(definition, root, "readOnly"):
                removed.append(f"{path}{name}")
            else:
                kept[name] = _stripped(part, definition, root, f"{path}{name}/", removed)
        return kept
    if isinstance(value, list):
        items = _items(schema, root)
        return [_stripped(part, items, root, f"{path}{number}/", removed) for number, part in enumerate(value)]
    return value


def _items(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """Return the schema of the entries of a list, also if the list is described by a reference."""
    if "items" in schema:
        return schema["items"]
    referred = find_reference(root, schema.get("$ref"))
    return referred.get("items") if isinstance(referred, Mapping) else None
