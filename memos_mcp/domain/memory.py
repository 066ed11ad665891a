"""Memories: what an agent stores and gets back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b, sha256
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.index import Entry, Match, Passage, Span, Where
from memos_mcp.domain.limits import check_json, check_labels, check_name, check_text, check_time, facts
from memos_mcp.domain.scope import Scope

MemoryKind: TypeAlias = Literal["episodic", "semantic", "procedural", "document"]

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

MAX_CONTENT_BYTES: Final = 256 * 1024
MAX_TAGS: Final = 64
MAX_TAG_CHARS: Final = 128
MAX_METADATA_CHARS: Final = 16_384

REACH: Final = 2
"""How many memories of its session, or of its file, count as a memory's neighbours, on each side.

The schema's marks reach as far.
"""

NEAR_CHARS: Final = 2_000
"""How much of a neighbour is read: one that has so much to say speaks for itself."""


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory as it is handed in; `check()` it before it is stored."""

    content: str
    kind: MemoryKind = "episodic"
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    importance: float = 0.5
    session_id: str | None = None
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    supersedes: UUID | None = None

    def check(self) -> None:
        """Raise `Invalid` when any part cannot be stored exactly as it is."""
        check_text("content", self.content, max_bytes=MAX_CONTENT_BYTES)
        check_labels("tags", self.tags, max_count=MAX_TAGS, max_chars=MAX_TAG_CHARS)
        check_json("metadata", self.metadata, max_chars=MAX_METADATA_CHARS)
        if self.session_id is not None:
            check_name("session_id", self.session_id)
        check_time("occurred_at", self.occurred_at)
        check_time("expires_at", self.expires_at)

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the content's UTF-8 bytes."""
        return sha256(self.content.encode()).digest()


@dataclass(frozen=True, slots=True)
class Memory:
    """A stored memory. `sequence` orders memories of one instant; `version` grows with every change of the row."""

    memory_id: UUID
    namespace: str
    agent_id: str
    content: str
    kind: MemoryKind
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    importance: float
    session_id: str | None
    occurred_at: datetime
    created_at: datetime
    expires_at: datetime | None
    version: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a `NewMemory`: a row of its own, or (`created` false) the one that was there already."""

    memory_id: UUID
    created: bool
    version: int


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to a store: durable in any case, findable by meaning once `indexed`."""

    memory_id: UUID
    created: bool
    indexed: bool


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """What a memory must be, all parts together; None asks nothing. Tags and metadata must be contained."""

    kind: MemoryKind | None = None
    tags: Sequence[str] | None = None
    metadata: Mapping[str, Any] | None = None
    session_id: str | None = None
    agent_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def check(self) -> None:
        """Raise `Invalid` when a part cannot match anything that can be stored."""
        check_labels("tags", self.tags or (), max_count=MAX_TAGS, max_chars=MAX_TAG_CHARS)
        check_json("metadata", self.metadata or {}, max_chars=MAX_METADATA_CHARS)
        for name, value in (("session_id", self.session_id), ("agent_id", self.agent_id)):
            if value is not None:
                check_name(name, value)
        check_time("since", self.since)
        check_time("until", self.until)


@dataclass(frozen=True, slots=True)
class MemoryQuery:
    """A question to the memory. Without `text` it lists, newest first."""

    text: str | None = None
    filter: MemoryFilter = MemoryFilter()
    limit: int = 10
    min_score: float | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """A memory in an answer. `position` continues an answer after this hit; `span` is the best passage."""

    memory: Memory
    position: tuple[str | int, ...]
    score: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """A page of an answer. `total` counts what matched the filters (listing) or what was ranked (search).

    confident: whether anything is near the question; None in a listing, and where meaning could not be asked.
    """

    hits: Sequence[MemoryHit]
    total: int
    more: bool
    fingerprint: str
    confident: bool | None = None
    degraded: str | None = None


@dataclass(frozen=True, slots=True)
class ListKey:
    """Where a listing goes on: after the memory of this time and sequence number."""

    occurred_at: datetime
    sequence: int


class Near(NamedTuple):
    """What a neighbour says. `step` counts from the memory beside it: -1 came just before, 1 came next."""

    step: int
    content: str


class MemoryStore(Protocol):
    """The record of memories. Live: neither superseded nor expired at `now`."""

    async def add(self, scope: Scope, new: NewMemory, now: datetime) -> Added:
        """Store once per namespace, agent, session and content; `NotFound` when `supersedes` names nothing live."""
        ...

    async def add_many(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
        """Store a batch in one transaction; none may have `supersedes`."""
        ...

    async def get(self, namespace: str, ids: Sequence[UUID], filter: MemoryFilter, now: datetime) -> dict[UUID, Memory]:
        """Return those that are live, in this namespace, and pass the filter: the last word on every candidate."""
        ...

    async def newest(
        self, namespace: str, filter: MemoryFilter, after: ListKey | None, limit: int, now: datetime
    ) -> list[Memory]: ...

    async def count(self, namespace: str, filter: MemoryFilter, now: datetime) -> int: ...

    async def text_search(
        self, namespace: str, text: str, filter: MemoryFilter, limit: int, now: datetime, *, waiting_only: bool
    ) -> list[Match]:
        """Rank by Postgres full-text search; `waiting_only` asks only what is not in the index yet."""
        ...

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        """Return those not superseded, of any namespace: what the index should hold."""
        ...

    async def around(self, ids: Sequence[UUID]) -> dict[UUID, list[Near]]:
        """Return the neighbours of those that have any, by step: up to `REACH` on each side in the same session.

        Those of a chunk of a file stand beside it there; of several files the first counts, by source and path. What
        is superseded or expires is nobody's neighbour and has none, but in a file it keeps its place. Of a long one
        come the last `NEAR_CHARS` when it is before the memory, the first when it is after.
        """
        ...

    async def versions(self) -> dict[UUID, int]:
        """Return every memory that the index should hold, with its row's version."""
        ...


def wording(memory: Memory, passage: str) -> str:
    """Return the text by whose words a passage is found: also by its day, as people write it."""
    day = memory.occurred_at
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}\n{passage}"


def entry(memory: Memory, passages: Sequence[Passage]) -> Entry:
    """Return what the index holds of a memory: passages, and what can be filtered on."""
    words: dict[str, Sequence[str]] = {
        "agent_id": (memory.agent_id,),
        "kind": (memory.kind,),
        "tags": memory.tags,
        "facts": facts(memory.metadata),
    }
    numbers = {"occurred_at": memory.occurred_at.timestamp()}
    if memory.session_id is not None:
        words["session_id"] = (memory.session_id,)
    if memory.expires_at is not None:
        numbers["expires_at"] = memory.expires_at.timestamp()
    return Entry(memory.memory_id, memory.version, memory.namespace, passages, words, numbers, part_of(memory))


def part_of(memory: Memory) -> str | None:
    """Return a digest that names the document that a memory is a part of, as its metadata tell; None without any."""
    named = (memory.metadata.get("source"), memory.metadata.get("path"))
    if memory.kind != "document" or not all(isinstance(name, str) for name in named):
        return None
    return blake2b("\n".join(map(str, named)).encode(), digest_size=8).hexdigest()


def where(namespace: str, filter: MemoryFilter, now: datetime) -> Where:
    """Return the index's form of a filter; it never excludes a memory that Postgres would admit."""
    exact = {"kind": filter.kind, "session_id": filter.session_id, "agent_id": filter.agent_id}
    has_all: dict[str, Sequence[str]] = {name: (value,) for name, value in exact.items() if value is not None}
    if filter.tags:
        has_all["tags"] = filter.tags
    if filter.metadata:
        has_all["facts"] = facts(filter.metadata)
    return Where(
        namespace,
        has_all=has_all,
        at_least={} if filter.since is None else {"occurred_at": filter.since.timestamp()},
        at_most={} if filter.until is None else {"occurred_at": filter.until.timestamp()},
        not_past={"expires_at": now.timestamp()},
    )
