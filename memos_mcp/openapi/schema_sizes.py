"""Makes the schemas of a tool fit its limit: examples and descriptions are left out first, and reported."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES
from memos_mcp.domain.tool import MAX_REQUEST_SCHEMA_CHARS, MAX_RESPONSE_SCHEMA_CHARS
from memos_mcp.openapi.findings import Findings, Unmappable
from memos_mcp.openapi.schemas import references_in

CUT_LEVELS: Final = (12, 8, 6, 5, 4, 3, 2)
"""How many levels of a schema that is too large are kept, the first that fits."""

_EXAMPLES: Final = frozenset({"example", "examples"})
_WORDS: Final = _EXAMPLES | {"description", "title"}
_KEPT_OF_CUT: Final = ("type", "format", "description", "nullable", "deprecated", "readOnly", "writeOnly")


def fitted_request(schema: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Return a request schema, shortened until it fits; raise `Unmappable` when even its names do not."""
    return _fitted(schema, MAX_REQUEST_SCHEMA_CHARS, "request", findings)


def fitted_response(schema: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Return a response schema, shortened until it fits; raise `Unmappable` when even its names do not."""
    return _fitted(schema, MAX_RESPONSE_SCHEMA_CHARS, "response", findings)


def _fitted(schema: dict[str, Any], limit: int, name: str, findings: Findings) -> dict[str, Any]:
    if _size(schema) <= limit:
        return schema
    for what, shorter in _shorter(schema):
        if _size(shorter) <= limit:
            findings.changed(f"The {name} schema has more than {limit:,} characters: {what}.")
            return shorter
    raise Unmappable(f"The {name} schema has more than {limit:,} characters, even without descriptions and details.")


def _shorter(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the schema shorter and shorter, each with what it lacks."""
    yield "examples are left out", _without(schema, _EXAMPLES)
    yield "examples and inner descriptions are left out", (described := _without_inner(schema))
    yield "examples and descriptions are left out", _without(schema, _WORDS)
    for levels in CUT_LEVELS:
        lacks = f"descriptions are left out, and what is nested more than {levels} levels deep has a type only"
        yield lacks, _without_unused(_cut(described, levels))


def _size(schema: Mapping[str, Any]) -> int:
    return len(json.dumps(schema, ensure_ascii=False, separators=(",", ":")))


def _without_inner(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the descriptions of its own properties only."""
    bare: dict[str, Any] = _without(schema, _WORDS)
    for name, child in schema.get("properties", {}).items():
        description = child.get("description") if isinstance(child, Mapping) else None
        if description is not None and isinstance(bare["properties"][name], dict):
            bare["properties"][name]["description"] = description
    return bare


def _without(schema: Any, keywords: frozenset[str]) -> Any:
    if isinstance(schema, list):
        return [_without(child, keywords) for child in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        keyword: {name: _without(named, keywords) for name, named in child.items()}
        if keyword in NAMED_SCHEMAS and isinstance(child, Mapping)
        else child
        if keyword in VALUES
        else _without(child, keywords)
        for keyword, child in schema.items()
        if keyword not in keywords
    }


def _cut(schema: Any, levels: int) -> Any:
    """Return a schema of so many levels, below which only types are kept; any value of a type is accepted there."""
    if isinstance(schema, list):
        return [_cut(child, levels) for child in schema]
    if not isinstance(schema, Mapping):
        return schema
    if levels == 0:
        return {keyword: schema[keyword] for keyword in _KEPT_OF_CUT if keyword in schema}
    return {
        keyword: {name: _cut(named, levels - 1) for name, named in child.items()}
        if keyword in NAMED_SCHEMAS and isinstance(child, Mapping)
        else child
        if keyword in VALUES
        else _cut(child, levels - 1)
        for keyword, child in schema.items()
    }


def _without_unused(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema without the definitions that nothing refers to any more."""
    defined = schema.get("$defs", {})
    used: dict[str, Any] = {}
    pending: list[Any] = [{keyword: child for keyword, child in schema.items() if keyword != "$defs"}]
    while pending:
        for reference in references_in(pending.pop()):
            name = reference.removeprefix("#/$defs/")
            if name in defined and name not in used:
                used[name] = defined[name]
                pending.append(defined[name])
    kept = {keyword: child for keyword, child in schema.items() if keyword != "$defs"}
    return kept | ({"$defs": used} if used else {})
