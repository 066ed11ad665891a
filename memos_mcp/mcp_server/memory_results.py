"""The results of the memory tools, as a client gets them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NotRequired
from uuid import UUID

from typing_extensions import TypedDict

from memos_mcp.domain.chunk import LINK_KEYS
from memos_mcp.domain.memory import Memory, MemoryHit, MemoryKind, SimilarMemory

CUT_CHARS: Final = 300
"""Characters that are shown of an earlier version or a near-duplicate; by its id it can be read in full."""

MAX_NAMED: Final = 5

PART_KEYS: Final = frozenset({"source", "path", "lines"})
"""The metadata that every part of a file has."""


class NearDuplicate(TypedDict):
    """A memory that says nearly the same; long content is cut."""

    memory_id: str
    content: str
    cosine: float


class StoredMemory(TypedDict):
    """The result of `store_memory`. `similar` are up to three near-duplicates of a new memory, nearest first."""

    memory_id: str
    created: bool
    merged: NotRequired[bool]
    indexed: bool
    namespace: str
    agent_id: str
    similar: NotRequired[list[NearDuplicate]]
    note: NotRequired[str]


class Excerpt(TypedDict):
    """Which characters of the whole content are shown: `start` to `end` (exclusive) of `length`."""

    start: int
    end: int
    length: int


class EarlierVersion(TypedDict):
    """A memory that another one supersedes; long content is cut."""

    memory_id: str
    content: str
    agent_id: str
    created_at: str
    superseded_by: str
    superseded_at: str


class FoundMemory(TypedDict):
    """A memory in an answer; `score` is null in a listing. `omitted` names what was left out for want of room.

    `also`: how many other memories, of other sessions or agents, have the same content. `earlier`: the memories that it
    supersedes, oldest first. `related`: files of the same source that define what it uses.
    """

    memory_id: str
    content: str
    kind: MemoryKind
    occurred_at: str
    tags: NotRequired[list[str]]
    metadata: NotRequired[dict[str, Any]]
    importance: NotRequired[float]
    session_id: NotRequired[str | None]
    agent_id: NotRequired[str]
    created_at: NotRequired[str]
    version: NotRequired[int]
    also: NotRequired[int]
    superseded_by: NotRequired[str]
    superseded_at: NotRequired[str]
    earlier: NotRequired[list[EarlierVersion]]
    related: NotRequired[list[str]]
    score: float | None
    signals: NotRequired[dict[str, float]]
    excerpt: NotRequired[Excerpt]
    omitted: NotRequired[list[str]]


class FoundMemories(TypedDict):
    """The result of `query_memory`."""

    memories: list[FoundMemory]
    total: int
    next_cursor: str | None
    confident: bool | None
    degraded: str | None
    note: NotRequired[str]


def similar_memory(similar: SimilarMemory) -> NearDuplicate:
    """Return a near-duplicate as a client gets it."""
    return {"memory_id": str(similar.memory_id), "content": cut(similar.content), "cosine": similar.cosine}


def found_memory(hit: MemoryHit) -> dict[str, Any]:
    """Return a memory of an answer as a `FoundMemory`."""
    memory = hit.memory
    return {
        **stored_fields(memory),
        "metadata": _shown_metadata(memory),
        "occurred_at": rfc3339(memory.occurred_at),
        "created_at": rfc3339(memory.created_at),
        "version": memory.version,
        **({"also": hit.copies} if hit.copies else {}),
        **_superseded(memory),
        **({"earlier": [_earlier(one) for one in hit.earlier]} if hit.earlier else {}),
        **({"related": list(hit.related)} if hit.related else {}),
        "score": hit.score,
        "signals": dict(hit.signals),
    }


def _shown_metadata(memory: Memory) -> dict[str, Any]:
    """Return the metadata without the names that a part of a file defines and uses: `related` is made of them."""
    hidden = LINK_KEYS if memory.kind == "document" and memory.metadata.keys() >= PART_KEYS else ()
    return {key: value for key, value in memory.metadata.items() if key not in hidden}


def stored_fields(memory: Memory) -> dict[str, Any]:
    """Return the fields of a memory that a store gave it, without its times."""
    return {
        "memory_id": str(memory.memory_id),
        "content": memory.content,
        "kind": memory.kind,
        "tags": list(memory.tags),
        "metadata": dict(memory.metadata),
        "importance": memory.importance,
        "session_id": memory.session_id,
        "agent_id": memory.agent_id,
    }


def _superseded(memory: Memory) -> dict[str, str]:
    if memory.superseded_by is None or memory.superseded_at is None:
        return {}
    return {"superseded_by": str(memory.superseded_by), "superseded_at": rfc3339(memory.superseded_at)}


def _earlier(memory: Memory) -> dict[str, Any]:
    return {
        "memory_id": str(memory.memory_id),
        "content": cut(memory.content),
        "agent_id": memory.agent_id,
        "created_at": rfc3339(memory.created_at),
        **_superseded(memory),
    }


def named(ids: Sequence[UUID]) -> str:
    """Return the first of these ids, and how many more there are."""
    more = f" and {len(ids) - MAX_NAMED} more" if len(ids) > MAX_NAMED else ""
    return ", ".join(map(str, ids[:MAX_NAMED])) + more


def rfc3339(moment: datetime) -> str:
    """Return a time in the form in which the tools answer."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def cut(content: str) -> str:
    """Return a content, or its beginning and dots if it is long."""
    return content if len(content) <= CUT_CHARS else content[: CUT_CHARS - 1] + "…"
