"""Shows a large schema in short: its outer levels, without prose. Pure.

A value that matches the whole schema matches the short one too, so that an answer can be checked against either.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.json_schema import NAMED_SCHEMAS
from memos_mcp.mcp_server.response_budget import compact

SHOWN_CHARS: Final = 6_000
"""Characters of a response_schema that an answer shows: its tool and the request_schema fit beside it."""

MAX_LEVELS: Final = 8
MAX_VALUES: Final = 20
"""Values of an `enum` that are shown."""

_KEPT: Final = frozenset({"type", "format", "nullable", "required", "$ref", "$schema"})
_LISTS: Final = {"allOf": "allOf", "anyOf": "anyOf", "oneOf": "anyOf"}
"""Of shortened branches, several may match where exactly one of the whole ones does."""


def shortened(schema: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the deepest short form that fits into `SHOWN_CHARS`; None if the whole schema does, or there is none."""
    if schema is None or len(compact(schema)) <= SHOWN_CHARS:
        return None
    for levels in range(MAX_LEVELS, 0, -1):
        short: Mapping[str, Any] = _outer(schema, levels)
        if len(compact(short)) <= SHOWN_CHARS:
            return short
    return {name: schema[name] for name in ("type",) if name in schema}


def _outer(schema: Any, levels: int) -> Any:
    """Return these levels of a schema; what is deeper may be anything."""
    if not isinstance(schema, Mapping):
        return schema
    short = {name: value for name, value in schema.items() if name in _KEPT}
    if levels == 0:
        return {name: value for name, value in short.items() if name in {"type", "nullable"}}
    if isinstance(values := schema.get("enum"), list) and len(values) <= MAX_VALUES:
        short["enum"] = values
    return short | dict(_inner(schema, levels - 1))


def _inner(schema: Mapping[str, Any], levels: int) -> Iterator[tuple[str, Any]]:
    for name in NAMED_SCHEMAS & schema.keys():
        if isinstance(schema[name], Mapping):
            yield name, {key: _outer(part, levels) for key, part in schema[name].items()}
    if isinstance(schema.get("items"), Mapping | bool):
        yield "items", _outer(schema["items"], levels)
    for name, shown in _LISTS.items():
        if isinstance(schema.get(name), list):
            yield shown, [_outer(part, levels) for part in schema[name]]
