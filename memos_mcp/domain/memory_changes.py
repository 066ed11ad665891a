"""Changes of stored memories: correcting, forgetting, erasing and restoring them, and their history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryKind, NewMemory
from memos_mcp.domain.scope import Client, Scope

Clearable: TypeAlias = Literal["session_id", "expires_at"]

EventName: TypeAlias = Literal["stored", "merged", "updated", "superseded", "forgotten", "restored", "erased"]

NOTHING_TO_CHANGE: Final = (
    "Nothing to change. Give content, tags, metadata, importance, kind, session_id, occurred_at, expires_at or clear."
)


@dataclass(frozen=True, slots=True)
class MemoryChange:
    """What is to change in a memory; None means unchanged.

    Tags are added, and metadata key by key, where a value of None removes the key; with `replace` those given are the
    only ones afterwards. `if_version`: change nothing unless the memory still has this version.
    """

    memory_id: UUID
    content: str | None = None
    kind: MemoryKind | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    importance: float | None = None
    session_id: str | None = None
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    replace: bool = False
    clear: Sequence[Clearable] = ()
    if_version: int | None = None

    def check(self) -> None:
        """Raise `Invalid` when nothing is to change, a part cannot be stored, or one is given and cleared at once."""
        values = (self.content, self.kind, self.tags, self.metadata, self.importance)
        if all(value is None for value in (*values, self.session_id, self.occurred_at, self.expires_at, *self.clear)):
            raise Invalid(NOTHING_TO_CHANGE)
        content = "." if self.content is None else self.content
        tags, metadata = self.tags or (), self.metadata or {}
        times = (self.occurred_at, self.expires_at)
        NewMemory(content, self.kind, tags, metadata, self.importance, self.session_id, *times).check()
        for name in self.clear:
            if getattr(self, name) is not None:
                raise Invalid(f"{name} is given and cleared at once. Leave out one of them.")

    def applied(self, memory: Memory) -> NewMemory:
        """Return the memory after the change; raise `Invalid` when that cannot be stored."""
        new = NewMemory(
            memory.content if self.content is None else self.content,
            self.kind or memory.kind,
            self._tags(memory.tags),
            self._metadata(memory.metadata),
            memory.importance if self.importance is None else self.importance,
            None if "session_id" in self.clear else self.session_id or memory.session_id,
            self.occurred_at or memory.occurred_at,
            None if "expires_at" in self.clear else self.expires_at or memory.expires_at,
        )
        new.check()
        return new

    def _tags(self, tags: Sequence[str]) -> Sequence[str]:
        if self.tags is None or self.replace:
            return tags if self.tags is None else self.tags
        return [*tags, *(tag for tag in dict.fromkeys(self.tags) if tag not in tags)]

    def _metadata(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.metadata is None or self.replace:
            return metadata if self.metadata is None else self.metadata
        return {
            name: value
            for name, value in {**metadata, **self.metadata}.items()
            if self.metadata.get(name, 0) is not None
        }


@dataclass(frozen=True, slots=True)
class Changed:
    """The answer to a change. New content is a new memory, which supersedes the old one."""

    memory_id: UUID
    version: int
    changed: bool
    supersedes: UUID | None = None
    indexed: bool = True


@dataclass(frozen=True, slots=True)
class ToForget:
    """A memory that would be forgotten or erased. `earlier`: it is an earlier version of one that was selected."""

    memory_id: UUID
    earlier: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which memories to forget: those with these ids, or all that pass the filter."""

    memory_ids: Sequence[UUID] | None = None
    filter: MemoryFilter | None = None


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The answer to forgetting: the selected memories, and how many earlier versions of them there were.

    dropped: whether the index no longer holds them.
    """

    memory_ids: Sequence[UUID]
    earlier: int
    missing: Sequence[UUID] = ()
    dropped: bool = True


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """Something that happened to a memory. `former`: the values that it had before, by name."""

    memory_id: UUID
    event: EventName
    agent_id: str
    client: Client
    at: datetime
    former: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErasedVectors:
    """The vectors of erased texts, by the hashes of what was embedded.

    only_model: all vectors of other models are among them, because it is not known how those cut a long text.
    """

    hashes: Sequence[bytes]
    only_model: str | None


class MemoryChangeStore(Protocol):
    """Changes in the record, each with its events in one transaction."""

    async def update(self, scope: Scope, change: MemoryChange, now: datetime) -> Changed:
        """Change a live memory; `NotFound` when there is none, `Conflict` when it has another version."""

    async def targets(self, scope: Scope, selection: Selection, now: datetime, *, forgotten: bool) -> list[ToForget]:
        """Return the selected memories and their earlier versions; `forgotten`: also those that are forgotten."""

    async def contents(self, scope: Scope, memory_ids: Sequence[UUID]) -> list[str]:
        """Return the contents of these memories, also of forgotten ones, in any order."""

    async def forget(self, scope: Scope, memory_ids: Sequence[UUID], now: datetime) -> set[UUID]:
        """Forget these; return those that were there."""

    async def erase(self, scope: Scope, memory_ids: Sequence[UUID], vectors: ErasedVectors, now: datetime) -> set[UUID]:
        """Delete these, the values in their history and these vectors; return the deleted memories."""

    async def erase_vectors(self, vectors: ErasedVectors) -> None: ...

    async def restore(self, scope: Scope, memory_ids: Sequence[UUID], now: datetime) -> set[UUID]:
        """Restore forgotten ones, but those whose content was stored again; return the restored ones."""

    async def ids_between(self, namespace: str, low: UUID, high: UUID, limit: int) -> list[UUID]:
        """Return the first ids from `low` to `high`, also of superseded, forgotten and erased memories."""

    async def history(self, namespace: str, memory_id: UUID) -> list[MemoryEvent]:
        """Return the events of a memory, oldest first."""

    async def prune(self, before: datetime) -> int:
        """Delete the events before a time, but not those of erasures; return how many."""
