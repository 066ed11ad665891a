"""What the orchestrator needs of the answers of the memory service: another server, or another version. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator

from memos_mcp.orchestrator.payload import KnownMemory, KnownTool

_SCHEMAS: Final = frozenset({"request_schema", "response_schema"})


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


class MemoriesAnswer(BaseModel):
    """The answer of `query_memory`."""

    memories: Sequence[KnownMemory]
    degraded: str | None = None


class ToolsAnswer(BaseModel):
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


class PackAnswer(MemoriesAnswer, ToolsAnswer):
    """The answer of `build_loadout`; `missing` names pins that no longer exist, `uncovered` is None if unknown."""

    role: str | None = None
    uncovered: Sequence[str] | None = ()
    missing: Sequence[str] = ()

    @property
    def shortfall(self) -> str | None:
        """The reason why the pack may be incomplete, if there is one."""
        return self.degraded or (f"pinned but missing: {', '.join(self.missing)}" if self.missing else None)


class StoreAnswer(BaseModel):
    """The answer of `store_memory`."""

    memory_id: str


class ReportAnswer(BaseModel):
    """The answer of `report_outcome`, of which nothing is needed."""
