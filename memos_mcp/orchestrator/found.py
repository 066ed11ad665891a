"""What the memory service answered, read with care: another server, or a later one, may stand there. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mcp.types import CallToolResult, TextContent

from memos_mcp.orchestrator.payload import KnownMemory, KnownTool

REASON_CHARS: Final = 300

_SCHEMAS: Final = frozenset({"request_schema", "response_schema"})


@dataclass(frozen=True, slots=True)
class MemoryDown:
    """The service did not give what was asked for: it is down, slow, or refused. `reason` says which."""

    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with memories or tools; `degraded` says why it may be incomplete."""

    memories: Sequence[KnownMemory] = ()
    tools: Sequence[KnownTool] = ()
    degraded: str | None = None
    role: str = ""
    uncovered: Sequence[str] = ()


def read(result: CallToolResult) -> Mapping[str, Any] | MemoryDown:
    """Return the answer of a tool of the service, or why there is none."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if result.is_error:
        return MemoryDown(f"it refused: {' '.join(texts)[:REASON_CHARS]}")
    if isinstance(result.structured_content, Mapping):
        return result.structured_content
    try:
        answer = json.loads(texts[0]) if texts else None
    except ValueError:
        answer = None
    return answer if isinstance(answer, Mapping) else MemoryDown("its answer cannot be read")


def found(answer: Mapping[str, Any] | MemoryDown) -> Found | MemoryDown:
    """Read memories and tools as far as they are what they should be: another server may stand there."""
    if isinstance(answer, MemoryDown):
        return answer
    try:
        return Found(
            memories=[_memory(entry) for entry in answer.get("memories", ())],
            tools=[_tool(entry) for entry in answer.get("tools", ())],
            degraded=_degraded(answer),
            role=str(answer.get("role") or ""),
            uncovered=[str(need) for need in answer.get("uncovered") or ()],
        )
    except (KeyError, TypeError, AttributeError):
        return MemoryDown("its answer cannot be read")


def _memory(entry: Mapping[str, Any]) -> KnownMemory:
    return KnownMemory(
        memory_id=str(entry["memory_id"]),
        content=str(entry["content"]),
        kind=str(entry.get("kind", "episodic")),
        tags=[str(tag) for tag in entry.get("tags", ())],
        reason=str(entry.get("reason") or ""),
    )


def _tool(entry: Mapping[str, Any]) -> KnownTool:
    return KnownTool(
        tool_id=str(entry["tool_id"]),
        name=str(entry["name"]),
        description=str(entry["description"]),
        endpoint_url=str(entry["endpoint_url"]),
        request_schema=entry.get("request_schema"),
        response_schema=entry.get("response_schema"),
        required_capabilities=list(entry.get("required_capabilities", ())),
        reason=str(entry.get("reason") or ""),
    )


def is_incomplete(tool: Mapping[str, Any], *, noted: bool) -> bool:
    """Tell whether anything of this tool was left out or shortened, which `omitted` names, or may have been."""
    return bool(tool.get("omitted")) or may_lack_schemas(tool, noted=noted)


def may_lack_schemas(tool: Mapping[str, Any], *, noted: bool) -> bool:
    """Tell whether a schema may have been left out, so that what is sent to the tool, or comes back, goes unchecked.

    `build_loadout` names those in `omitted`; `discover_tools` leaves out both, and has but a note for it.
    """
    return not _SCHEMAS.isdisjoint(tool.get("omitted") or ()) or (noted and not _SCHEMAS & tool.keys())


def _degraded(answer: Mapping[str, Any]) -> str | None:
    gone = ", ".join(map(str, answer.get("missing") or ()))
    return answer.get("degraded") or (f"pinned but gone: {gone}" if gone else None)
