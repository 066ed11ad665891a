"""Answers of the memory service, fully validated: it may be another server, or a later version. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, TypeAlias, TypeVar

from mcp.types import CallToolResult, TextContent
from pydantic import BaseModel, BeforeValidator, ValidationError

from memos_mcp.orchestrator.payload import KnownMemory, KnownTool

REASON_CHARS: Final = 300
PATH_CHARS: Final = 80

_SCHEMAS: Final = frozenset({"request_schema", "response_schema"})

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MemoryDown:
    """The service gave no usable answer: it is down, slow, refused or not memOS.as. `reason` says which."""

    reason: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Memories and tools from an answer; `degraded` gives the reason why it may be incomplete."""

    memories: Sequence[KnownMemory] = ()
    tools: Sequence[KnownTool] = ()
    degraded: str | None = None
    role: str = ""
    uncovered: Sequence[str] = ()


def _mapping(schema: Any) -> Any:
    """Return a boolean schema as the object that means the same: one of them must not lose all other tools."""
    return {True: {}, False: {"not": {}}}[schema] if isinstance(schema, bool) else schema


Schema: TypeAlias = Annotated[Mapping[str, Any] | None, BeforeValidator(_mapping)]


@dataclass(frozen=True, slots=True)
class ShownTool(KnownTool):
    """A tool as an answer shows it; `omitted` names what was left out or shortened."""

    request_schema: Schema = None
    response_schema: Schema = None
    omitted: Sequence[str] = ()

    @property
    def known(self) -> KnownTool:
        """The tool without `omitted`, which an agent does not need."""
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
        """Return whether a part of this tool was, or may have been, left out or shortened."""
        return bool(tool.omitted) or self.may_lack_schemas(tool)

    def may_lack_schemas(self, tool: ShownTool) -> bool:
        """Return whether a schema may have been left out, so that arguments or answers would not be checked.

        `build_loadout` names such schemas in `omitted`; `discover_tools` leaves out both and only adds a note.
        """
        bare = tool.request_schema is None and tool.response_schema is None
        return not _SCHEMAS.isdisjoint(tool.omitted) or (self.note is not None and bare)


class BuildLoadoutResult(QueryMemoryResult, DiscoverToolsResult):
    """The answer of `build_loadout`; `missing` names pins that no longer exist, `uncovered` is None if unknown."""

    role: str | None = None
    uncovered: Sequence[str] | None = ()
    missing: Sequence[str] = ()

    @property
    def shortfall(self) -> str | None:
        """The reason why the pack may be incomplete, if there is one."""
        return self.degraded or (f"pinned but missing: {', '.join(self.missing)}" if self.missing else None)


class StoreMemoryResult(BaseModel):
    """The answer of `store_memory`."""

    memory_id: str


class ReportOutcomeResult(BaseModel):
    """The answer of `report_outcome`, of which nothing is needed."""


def read(result: CallToolResult, shape: type[Answer]) -> Answer | MemoryDown:
    """Return the answer of a tool, or the reason of a refusal; raise ValidationError if it has another shape."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    if result.is_error:
        return MemoryDown(f"it refused: {' '.join(texts)[:REASON_CHARS]}")
    if result.structured_content is not None:
        return shape.model_validate(result.structured_content)
    return shape.model_validate_json(texts[0] if texts else "")


def unreadable(error: Exception) -> MemoryDown:
    """Return the path to the first wrong value of an answer, without the value: it may be long or private."""
    path = ""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = "/".join(map(str, first["loc"]))[:PATH_CHARS]
    return MemoryDown(f"its answer cannot be read (at {path})" if path else "its answer cannot be read")
