"""What the tools of memOS.as answer, as frozen models. Fields that a later version adds are ignored.

What an answer left out for want of room has the default here, and is named in `omitted` or `note`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class ToolResult(BaseModel):
    """The base of all results."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SimilarEntry(ToolResult):
    """A memory that says nearly the same as a new one; long content is cut."""

    memory_id: UUID
    content: str
    cosine: float


class StoreMemoryResult(ToolResult):
    """The memory that was stored, or had been. indexed: it can be found by meaning already."""

    memory_id: UUID
    created: bool
    merged: bool = False
    indexed: bool
    namespace: str
    agent_id: str
    similar: Sequence[SimilarEntry] = ()
    note: str | None = None


class ExcerptSpan(ToolResult):
    """Which characters of the whole content are shown: `start` to `end` (exclusive) of `length`."""

    start: int
    end: int
    length: int


class SupersededEntry(ToolResult):
    """An earlier version of a memory; long content is cut."""

    memory_id: UUID
    content: str
    agent_id: str
    created_at: datetime
    superseded_by: UUID
    superseded_at: datetime


class MemoryEntry(ToolResult):
    """A memory in an answer. `score` is None in a list.

    also: how many other memories, of other sessions or agents, have the same content.  related: files of the same
    source that define what it uses.
    """

    memory_id: UUID
    content: str
    kind: str
    occurred_at: datetime
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    importance: float | None = None
    session_id: str | None = None
    agent_id: str | None = None
    created_at: datetime | None = None
    version: int | None = None
    also: int = 0
    superseded_by: UUID | None = None
    superseded_at: datetime | None = None
    earlier: Sequence[SupersededEntry] = ()
    related: Sequence[str] = ()
    score: float | None
    signals: Mapping[str, float] = Field(default_factory=dict)
    excerpt: ExcerptSpan | None = None
    omitted: Sequence[str] = ()


class QueryMemoryResult(ToolResult):
    """Memories, best first. confident: None if unknown. degraded: why the search was incomplete."""

    memories: Sequence[MemoryEntry]
    total: int
    next_cursor: str | None
    confident: bool | None
    degraded: str | None
    note: str | None = None


class UpdateMemoryResult(ToolResult):
    """The memory after the change; `supersedes` is the one that new content replaced."""

    memory_id: UUID
    version: int
    changed: bool
    indexed: bool
    supersedes: UUID | None = None
    note: str | None = None


class ForgetMemoryResult(ToolResult):
    """What was forgotten, or would be if `done` is false; at most 100 ids of `count`."""

    count: int
    memory_ids: Sequence[UUID]
    earlier_versions: int
    done: bool
    note: str | None = None


class RegisterToolResult(ToolResult):
    """The tool that was registered; `outcome` says whether it was created, updated or unchanged."""

    tool_id: str
    outcome: str
    version: int
    indexed: bool
    note: str | None = None


class UnregisterToolResult(ToolResult):
    """Whether there was such a tool."""

    tool_id: str
    outcome: str


class ToolEntry(ToolResult):
    """A tool in an answer. `score` is None in a list."""

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    method: str
    auth: str | None = None
    required_capabilities: Sequence[str] = ()
    score: float | None
    signals: Mapping[str, Any]
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    omitted: Sequence[str] = ()


class DiscoverToolsResult(ToolResult):
    """Tools, best first. withheld: how many ask for a capability that the agent lacks."""

    tools: Sequence[ToolEntry]
    total: int
    has_more: bool
    withheld: int
    confident: bool | None
    degraded: str | None
    note: str | None = None


class PackedMemoryEntry(ToolResult):
    """A memory in a loadout, the reason why, and what it costs in tokens."""

    memory_id: UUID
    content: str
    kind: str
    tags: Sequence[str]
    excerpt: ExcerptSpan | None = None
    reason: str
    score: float | None = None
    tokens: int


class PackedToolEntry(ToolResult):
    """A tool in a loadout, the reason why, and what it costs in tokens."""

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    method: str
    auth: str | None = None
    required_capabilities: Sequence[str]
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    omitted: Sequence[str] = ()
    reason: str
    score: float | None = None
    tokens: int


class BuildLoadoutResult(ToolResult):
    """A pack of memories and tools for a task.

    tokens: `used` and `budget` of `memories` and `tools`.  uncovered: needs that nothing covers, None if unknown.
    missing: pins that no longer exist.  left_out: how many `memories` and `tools` had no room or were `withheld`.
    """

    name: str | None
    role: str | None
    capabilities: Sequence[str] | None
    memories: Sequence[PackedMemoryEntry]
    tools: Sequence[PackedToolEntry]
    tokens: Mapping[str, Mapping[str, int]]
    uncovered: Sequence[str] | None
    missing: Sequence[str]
    left_out: Mapping[str, int]
    degraded: str | None
    note: str | None = None


class ReportOutcomeResult(ToolResult):
    """The report is recorded in any case, and counted once its task is `indexed`."""

    tool_id: str
    indexed: bool
    note: str | None = None


class CallToolAnswer(ToolResult):
    """The answer of a called tool, or the beginning of its text if it is too long.

    note: that the call was done, but not as expected.
    """

    tool_id: str
    answer: Any = None
    answer_begins: str | None = None
    characters_left_out: int = 0
    status: int | None = None
    note: str | None = None
