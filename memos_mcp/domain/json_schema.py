"""The parts of a schema and what its references refer to, without fetching or running anything in it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

NAMED_SCHEMAS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose keys are names, not keywords: a property may well be called `default`."""

VALUES: Final = frozenset({"enum", "const", "default", "example", "examples"})
"""Keywords that hold values, not schemas."""


def properties(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the properties of a schema and of the schemas inside it, each with its definition."""
    for part in parts(schema):
        named = part.get("properties")
        yield from ((str(name), child) for name, child in named.items()) if isinstance(named, Mapping) else ()


def find_reference(schema: Mapping[str, Any], target: object) -> Any | None:
    """Return the part of a schema that a `$ref` within it refers to (`#`, `#/$defs/name`, `#anchor`), or None."""
    if not isinstance(target, str) or not target.startswith("#"):
        return None
    pointer = unquote(target[1:])
    if pointer and not pointer.startswith("/"):
        return next((part for part in parts(schema) if pointer in _anchors(part)), None)
    found: Any = schema
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, Mapping) and key in found:
            found = found[key]
        else:
            return None
    return found


def unresolvable_reference(schema: Mapping[str, Any]) -> str | None:
    """Return the first `$ref` of a schema that refers to nothing in it, or None."""
    resources = [schema, *(part for part in parts(schema) if isinstance(part.get("$id", part.get("id")), str))]
    for part in parts(schema):
        target = part.get("$ref")
        if isinstance(target, str) and all(find_reference(resource, target) is None for resource in resources):
            return target
    return None


def parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a schema and every schema inside it, without recursion."""
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, Mapping):
            yield part
            for keyword, child in part.items():
                if keyword in NAMED_SCHEMAS and isinstance(child, Mapping):
                    pending.extend(child.values())
                elif keyword not in VALUES:
                    pending.append(child)


def _anchors(part: Mapping[str, Any]) -> Sequence[object]:
    """Return the names by which a part may be referred to; before Draft 2019-09, a fragment is its id."""
    ids = (str(part.get(keyword)) for keyword in ("$id", "id"))
    return [part.get("$anchor"), part.get("$dynamicAnchor"), *(name[1:] for name in ids if name.startswith("#"))]
