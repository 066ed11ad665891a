"""Memories, their queries and their store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.embedding_store import text_digest
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import Match, Span
from memos_mcp.domain.limits import check_json, check_labels, check_name, check_text, check_time
from memos_mcp.domain.scope import Scope

MemoryKind: TypeAlias = Literal["episodic", "semantic", "procedural", "document"]

Versions: TypeAlias = Literal["live", "then", "all"]
PartName: TypeAlias = tuple[str, str]  # a source, and a name that it may define

MAX_CONTENT_BYTES: Final = 256 * 1024
MAX_TAGS: Final = 64
MAX_TAG_CHARS: Final = 128
MAX_METADATA_CHARS: Final = 16_384

DEFAULT_KIND: Final[MemoryKind] = "episodic"
DEFAULT_IMPORTANCE: Final = 0.5


@dataclass(frozen=True, slots=True)
class NewMemory:
    """A memory to be stored; `check()` it before. `kind` and `importance` are None where they are not given."""

    content: str
    kind: MemoryKind | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    importance: float | None = None
    session_id: str | None = None
    occurred_at: datetime | None = None
    expires_at: datetime | None = None
    supersedes: UUID | None = None

    def check(self) -> None:
        """Raise `Invalid` when any part cannot be stored exactly."""
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
        return text_digest(self.content)


@dataclass(frozen=True, slots=True)
class Labels:
    """What storing the same content again adds to a memory."""

    kind: MemoryKind
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    importance: float
    expires_at: datetime | None

    def merged(self, new: NewMemory) -> "Labels":
        """Return these with what is given anew. Raises `Invalid` if they are then too many.

        Tags are added, metadata key by key, and a later expiry counts; a memory that never expires keeps to that.
        """
        tags = [*self.tags, *(tag for tag in dict.fromkeys(new.tags) if tag not in self.tags)]
        metadata = {**self.metadata, **new.metadata}
        check_labels("tags, with those that are there,", tags, max_count=MAX_TAGS, max_chars=MAX_TAG_CHARS)
        check_json("metadata, with what is there,", metadata, max_chars=MAX_METADATA_CHARS)
        importance = self.importance if new.importance is None else new.importance
        both = (self.expires_at, new.expires_at)
        expires_at = self.expires_at if None in both else max(moment for moment in both if moment is not None)
        return Labels(new.kind or self.kind, tags, metadata, importance, expires_at)


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
    superseded_by: UUID | None = None
    superseded_at: datetime | None = None

    @property
    def content_hash(self) -> bytes:
        """SHA-256 of the content's UTF-8 bytes."""
        return text_digest(self.content)


@dataclass(frozen=True, slots=True)
class Added:
    """The row of a `NewMemory`: a new one, or (`created` false) the one that existed already.

    merged: whether something was added to the one that existed.
    """

    memory_id: UUID
    created: bool
    version: int
    merged: bool = False


@dataclass(frozen=True, slots=True)
class SimilarMemory:
    """A memory that says nearly the same as another one, and the cosine of both contents."""

    memory_id: UUID
    content: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Stored:
    """The answer to a store: durable in any case, findable by meaning once `indexed`.

    similar: near-duplicates of a new memory, nearest first.
    """

    memory_id: UUID
    created: bool
    indexed: bool
    merged: bool = False
    similar: Sequence[SimilarMemory] = ()


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Conditions that a memory must satisfy together; None means any. Tags and metadata must be contained."""

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
    """A question to the memory. Without `text` it lists, newest first.

    as_of: answer by what was known at this time. include_superseded: also answer with memories that were superseded,
    and with the earlier versions of each. half_life_days: the age at which a memory's strength is halved.
    """

    text: str | None = None
    filter: MemoryFilter = MemoryFilter()
    limit: int = 10
    min_score: float | None = None
    cursor: str | None = None
    as_of: datetime | None = None
    include_superseded: bool = False
    half_life_days: float | None = None

    @property
    def versions(self) -> "Versions":
        """Which versions of memories answer."""
        return "then" if self.as_of is not None else "all" if self.include_superseded else "live"

    def check(self) -> None:
        """Raise `Invalid` when a part cannot match anything, or two exclude each other."""
        self.filter.check()
        check_time("as_of", self.as_of)
        if self.as_of is not None and self.include_superseded:
            raise Invalid("as_of answers with what was live then. Leave out include_superseded, or as_of.")
        for name in ("min_score", "half_life_days") if self.text is None else ():
            if getattr(self, name) is not None:
                raise Invalid(f"{name} needs a query: a listing has no scores. Leave {name} out.")


@dataclass(frozen=True, slots=True)
class MemoryHit:
    """A memory in an answer. `position` continues an answer after this hit; `span` is the best passage.

    copies: other live memories, of other sessions or agents, that have the same content.
    earlier: the memories that it supersedes, oldest first, if they were asked for.
    related: the paths of files of the same source that define what it uses, most specific first.
    """

    memory: Memory
    position: tuple[str | int, ...]
    score: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    span: Span | None = None
    copies: int = 0
    earlier: Sequence[Memory] = ()
    related: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class MemoryPage:
    """A page of an answer. `total` counts what matched the filters (listing) or what was ranked (search).

    confident: whether anything is near the question; None in a listing, and where only words were searched or
    the model cannot read the script of the question.
    missing: those that were asked for by their ids and are not there.
    """

    hits: Sequence[MemoryHit]
    total: int
    more: bool
    fingerprint: str
    confident: bool | None = None
    degraded: str | None = None
    missing: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class ListPosition:
    """A position in a listing, which continues after the memory of this time and sequence number."""

    occurred_at: datetime
    sequence: int


class MemoryStore(Protocol):
    """The record of memories. Live: neither superseded nor expired at `now`.

    `versions`: the live memories; those that were live at `now`, which is then a time in the past; or all.
    """

    async def add(self, scope: Scope, new: NewMemory, now: datetime) -> Added:
        """Store once per namespace, agent, session and content; `NotFound` when `supersedes` names nothing live."""

    async def add_many(self, scope: Scope, new: Sequence[NewMemory], now: datetime) -> list[Added]:
        """Store a batch in one transaction; none may have `supersedes`."""

    async def get(
        self, namespace: str, ids: Sequence[UUID], filter: MemoryFilter, now: datetime, versions: Versions = "live"
    ) -> dict[UUID, Memory]:
        """Return those that are live, in this namespace, and pass the filter: the final decision on every candidate."""

    async def newest(
        self,
        namespace: str,
        filter: MemoryFilter,
        after: ListPosition | None,
        limit: int,
        now: datetime,
        versions: Versions = "live",
    ) -> list[Memory]: ...

    async def count(self, namespace: str, filter: MemoryFilter, now: datetime, versions: Versions = "live") -> int: ...

    async def text_search(
        self,
        namespace: str,
        text: str,
        filter: MemoryFilter,
        limit: int,
        now: datetime,
        versions: Versions = "live",
        *,
        queued_only: bool,
    ) -> list[Match]:
        """Rank by Postgres full-text search; `queued_only` searches only live ones that are not in the index yet."""

    async def copies(self, namespace: str, hashes: Sequence[bytes], now: datetime) -> dict[bytes, int]:
        """Return for each content, by its hash, how many more than one live memories have it."""

    async def defined_in(self, namespace: str, names: Sequence[PartName], now: datetime) -> dict[PartName, list[str]]:
        """Return the paths of files that define each of these names; of many paths only some."""

    async def earlier(self, namespace: str, ids: Sequence[UUID]) -> dict[UUID, list[Memory]]:
        """Return the memories that each of these supersedes, directly or not, oldest first."""

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Memory]:
        """Return those not superseded, of any namespace: what the index should hold."""
