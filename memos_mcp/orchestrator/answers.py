"""What the memory service answered, checked whole: another server, or a later one, may stand there. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, ValidationError

from memos_mcp.orchestrator.payload import KnownMemory, KnownTool

REASON_CHARS: Final = 300
PLACE_CHARS: Final = 80

_SCHEMAS: Final = frozenset({"request_schema", "response_schema"})

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MemoryDown:
    """The service did not give what was asked for: it is down, slow, refused, or is another. `reason` says which."""

    reason: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """An answer with memories or tools; `degraded` says why it may be incomplete."""

    memories: Sequence[KnownMemory] = ()
    tools: Sequence[KnownTool] = ()
    degraded: str | None = None
    role: str = ""
    uncovered: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ShownTool(KnownTool):
    """A tool as an answer had room for it; `omitted` names what was left out or shortened."""

    omitted: Sequence[str] = ()

    @property
    def known(self) -> KnownTool:
        """The tool without that mark, which is no business of an agent."""
        return KnownTool(*(getattr(self, field.name) for field in fields(KnownTool)))


class QueryMemoryResult(BaseModel):
    """The answer of `query_memory`."""

    memories: Sequence[KnownMemory]
    degraded: str | None = None


class DiscoverToolsResult(BaseModel):
    """The answer of `discover_tools`."""

    tools: Sequence[ShownTool]
    degraded: str | None = None
    note: str | None = None

    def is_incomplete(self, tool: ShownTool) -> bool:
        """Tell whether anything of this tool was left out or shortened, which `omitted` names, or may have been."""
        return bool(tool.omitted) or self.may_lack_schemas(tool)

    def may_lack_schemas(self, tool: ShownTool) -> bool:
        """Tell whether a schema may have been left out, so that what is sent to the tool, or comes back, is unchecked.

        `build_loadout` names those in `omitted`; `discover_tools` leaves out both, and has but a note for it.
        """
        bare = tool.request_schema is None and tool.response_schema is None
        return not _SCHEMAS.isdisjoint(tool.omitted) or (self.note is not None and bare)


class BuildLoadoutResult(QueryMemoryResult, DiscoverToolsResult):
    """The answer of `build_loadout`; `missing` names pins that are gone."""

    role: str | None = None
    uncovered: Sequence[str] = ()
    missing: Sequence[str] = ()

    @property
    def shortfall(self) -> str | None:
        """Why the pack may be incomplete."""
        return self.degraded or (f"pinned but gone: {', '.join(self.missing)}" if self.missing else None)


class StoreMemoryResult(BaseModel):
    """The answer of `store_memory`."""

    memory_id: str


def read(result: CallToolResult, shape: type[Answer]) -> Answer | MemoryDown:
    """Return the answer of a tool, or why the service refused; raise ValidationError when it has another shape."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if result.is_error:
        return MemoryDown(f"it refused: {' '.join(texts)[:REASON_CHARS]}")
    if result.structured_content is not None:
        return shape.model_validate(result.structured_content)
    return shape.model_validate_json(texts[0] if texts else "")


def unreadable(error: Exception) -> MemoryDown:
    """Say where an answer is not what it should be; what stands there instead may be long, or private."""
    place = ""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "/".join(map(str, first["loc"]))[:PLACE_CHARS]
    return MemoryDown(f"its answer cannot be read (at {place})" if place else "its answer cannot be read")
