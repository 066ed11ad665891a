"""Schemas without references, in the few keywords that every endpoint reads. Pure.

What is left out here only makes a schema accept more: the caller of a tool checks arguments against the original one.

- OpenAI refuses an array without `items` ("array schema missing items").
- Ollama decodes into Go structs: a boolean schema, or a `description` that is no string, is refused with status 400
  ("cannot unmarshal bool into Go struct field"), and `$ref`, `oneOf` and `allOf` never reach the model.
- llama.cpp answers 400 or 500 to `not` ("Unrecognized schema").
- OpenAPI 3.0 has `nullable`, drafts 3 and 4 have `required: true` and `exclusiveMinimum: true`.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

from memos_mcp.orchestrator.merged_schemas import NOTHING, any_of, merged, nullable

MAX_DEPTH: Final = 12
MAX_NODES: Final = 1_000
CUT: Final = "Its parts are not shown."

_TYPES: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_TEXTS: Final = ("title", "description", "format", "pattern")
_NUMBERS: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems",
    "maxItems", "minProperties", "maxProperties",
)  # fmt: skip
_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")


class UnfitSchema(Exception):
    """A schema cannot describe the parameters of a function. The message gives the reason."""


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema without references, `allOf`, `oneOf`, `not` and boolean schemas (but `NOTHING` for `false`).

    Circular references, and what is nested deeper than `MAX_DEPTH` or beyond `MAX_NODES` schemas, become their type
    only. Raises `UnfitSchema` for a reference that leads nowhere, to another document, or only to itself.
    """
    return _Inliner(schema).schema(schema, 0, frozenset(), ())


class _Inliner:
    """A root schema, in which `opened` are the references around a part, `chain` those to it without a step down."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._nodes = 0

    def schema(self, part: Any, depth: int, opened: frozenset[str], chain: tuple[str, ...]) -> dict[str, Any]:
        if part is False or (isinstance(part, Mapping) and part.get("not") in ({}, True)):
            return dict(NOTHING)
        if not isinstance(part, Mapping):
            return {}
        self._nodes += 1
        if depth > MAX_DEPTH or self._nodes > MAX_NODES:
            return _cut(part)
        reference = next((part[name] for name in _REFERENCES if isinstance(part.get(name), str)), None)
        own = self._own(part, depth, opened, chain)
        if reference is None:
            return own
        if reference in chain:
            raise UnfitSchema("it refers only to itself")
        target = self._target(reference)
        if reference in opened:
            found = _cut(target) if isinstance(target, Mapping) else {}
        else:
            found = self.schema(target, depth, opened | {reference}, (*chain, reference))
        noted = {name: own[name] for name in ("title", "description", "default") if name in own}
        whole = merged(found, own) | noted
        return nullable(whole) if part.get("nullable") is True else whole

    def _own(
        self, part: Mapping[str, Any], depth: int, opened: frozenset[str], chain: tuple[str, ...]
    ) -> dict[str, Any]:
        """Return a schema without its reference; combiners stay on the level, so that they keep the chain."""
        own = _plain(part) | self._structure(part, depth + 1, opened)
        for member in _schemas(part.get("allOf")):
            own = merged(own, self.schema(member, depth + 1, opened, chain))
        for combiner in ("anyOf", "oneOf"):
            members = [self.schema(member, depth + 1, opened, chain) for member in _schemas(part.get(combiner))]
            own = merged(own, any_of(members)) if members else own
        for member in _conditional(part):  # what may be given, but need not
            found = self.schema(member, depth + 1, opened, chain)
            own = merged(own, {"properties": found["properties"]} if "properties" in found else {})
        return nullable(own) if part.get("nullable") is True and not _refers(part) else own

    def _structure(self, part: Mapping[str, Any], depth: int, opened: frozenset[str]) -> dict[str, Any]:
        """Return the properties and items of a schema."""
        own: dict[str, Any] = {}
        if isinstance(named := part.get("properties"), Mapping):
            shown = {str(name): child for name, child in named.items() if not _answered_only(child)}
            found = {name: self.schema(child, depth, opened, ()) for name, child in shown.items()}
            own["properties"] = {name: child for name, child in found.items() if child != NOTHING}
        required = _required(part)
        if required:
            own["required"] = required
        rest = part.get("additionalProperties")
        if isinstance(rest, Mapping):
            own["additionalProperties"] = self.schema(rest, depth, opened, ())
        elif rest is False and "patternProperties" not in part:
            own["additionalProperties"] = False
        entries = [self.schema(entry, depth, opened, ()) for entry in _entries(part)]
        if entries or "array" in _types(part):
            own["items"] = any_of(entries)
        return own

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise UnfitSchema("it refers to another document")
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            return self._anchored(pointer)
        target = self._root
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if isinstance(target, Mapping) and name in target:
                target = target[name]
            elif isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            else:
                raise UnfitSchema("it refers to something that is not in it")
        return target

    def _anchored(self, name: str) -> Any:
        pending = [self._root]
        while pending:
            part = pending.pop()
            if isinstance(part, Mapping):
                if name in (part.get(anchor) for anchor in _ANCHORS):
                    return part
                pending.extend(part.values())
            elif isinstance(part, list):
                pending.extend(part)
        raise UnfitSchema("it refers to something that is not in it")


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords that hold no schemas, each only with a value that it may have."""
    own: dict[str, Any] = {name: part[name] for name in _TEXTS if isinstance(part.get(name), str)}
    own |= {name: number for name in _NUMBERS if (number := _number(part, name)) is not None}
    types = _types(part)
    if types:
        own["type"] = types[0] if len(types) == 1 else types
    if isinstance(part.get("enum"), list) and (values := [value for value in part["enum"] if _sendable(value)]):
        own["enum"] = values
    if "const" in part and _sendable(part["const"]):
        own["const"] = part["const"]
    if "default" in part and _sendable(part["default"]):
        own["default"] = part["default"]
    if isinstance(part.get("uniqueItems"), bool):
        own["uniqueItems"] = part["uniqueItems"]
    return own


def _types(part: Mapping[str, Any]) -> list[str]:
    """Return the types of a schema; none if any is not a name of a type (`any`, `file`, the schemas of draft 3)."""
    given = part.get("type")
    types: list[Any] = given if isinstance(given, list) else [given]
    return list(dict.fromkeys(types)) if all(isinstance(one, str) and one in _TYPES for one in types) else []


def _number(part: Mapping[str, Any], name: str) -> float | None:
    """Return the value of a numeric keyword; `exclusiveMinimum: true` means that `minimum` is not included."""
    value = part.get(name)
    if value is True and name.startswith("exclusive"):
        value = part.get({"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}[name])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _required(part: Mapping[str, Any]) -> list[str]:
    """Return the required properties, also in the form of draft 3 (`required: true` in the property)."""
    named = part.get("properties")
    children = named if isinstance(named, Mapping) else {}
    listed = part.get("required")
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    names += [
        str(name) for name, child in children.items() if isinstance(child, Mapping) and child.get("required") is True
    ]
    return [name for name in dict.fromkeys(names) if not _answered_only(children.get(name))]


def _answered_only(child: Any) -> bool:
    """Return whether a property is only in answers: OpenAPI's `readOnly`, even if `required`."""
    return isinstance(child, Mapping) and child.get("readOnly") is True


def _entries(part: Mapping[str, Any]) -> list[Any]:
    """Return the schemas of an array's items: one for all, or one for each position."""
    items, first = part.get("items"), _schemas(part.get("prefixItems"))
    if isinstance(items, list):
        return [*items, *_schemas([part["additionalItems"]] if "additionalItems" in part else None)]
    return [*first, *([items] if isinstance(items, Mapping) else [])]


def _conditional(part: Mapping[str, Any]) -> list[Any]:
    dependent = part.get("dependentSchemas")
    members = [part[name] for name in ("then", "else") if name in part]
    return [*members, *(dependent.values() if isinstance(dependent, Mapping) else ())]


def _schemas(value: Any) -> Sequence[Any]:
    return [one for one in value if isinstance(one, Mapping | bool)] if isinstance(value, list) else []


def _refers(part: Mapping[str, Any]) -> bool:
    return any(isinstance(part.get(name), str) for name in _REFERENCES)


def _sendable(value: Any) -> bool:
    """Return whether a value can be written as JSON: the number 1e999 is read, but cannot be written."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _cut(part: Mapping[str, Any]) -> dict[str, Any]:
    types = _types(part)
    if not types:
        return {}
    note: dict[str, Any] = {"description": CUT} if {"object", "array"} & set(types) else {}
    items: dict[str, Any] = {"items": {}} if "array" in types else {}
    return {"type": types[0] if len(types) == 1 else types, **items, **note}
