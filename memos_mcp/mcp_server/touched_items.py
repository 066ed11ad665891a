"""The ids of the memories and tools that a call read or changed, for the audit trail."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

MAX_IDS: Final = 100
"""Of one call. An answer has no more memories."""

_IN_ARGUMENTS: Final = ("memory_id", "memory_ids", "supersedes", "tool_id")
_IN_RESULTS: Final = ("memory_id", "memory_ids", "tool_id")
_LISTS: Final = ("memories", "tools")


def touched(arguments: BaseModel | None, result: Mapping[str, Any] | None) -> list[str]:
    """Return the ids, each once. Of a call without a result those that it named, unless they could be any text."""
    return list(dict.fromkeys(_ids(arguments, result)))[:MAX_IDS]


def _ids(arguments: BaseModel | None, result: Mapping[str, Any] | None) -> Iterator[str]:
    for name in _IN_ARGUMENTS:
        for value in _values(getattr(arguments, name, None)):
            if isinstance(value, UUID) or result is not None:
                yield str(value)
    for found in (result or {}, *(one for name in _LISTS for one in (result or {}).get(name) or ())):
        for name in _IN_RESULTS:
            yield from map(str, _values(found.get(name)))


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
