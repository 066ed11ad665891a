"""Projects rows to index entries: their text, the terms that find them, their filters and their vectors."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from memos_mcp.domain.chunk import title_of
from memos_mcp.domain.index import (
    Entry,
    Group,
    IndexFilter,
    ItemState,
    Passage,
    WeightedText,
)
from memos_mcp.domain.index_rows import IndexedRows
from memos_mcp.domain.json_schema import properties
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryStore
from memos_mcp.domain.source_metadata import also_in
from memos_mcp.domain.tool import Tool, ToolFilter, ToolStore
from memos_mcp.retrieval.named_files import file_words
from memos_mcp.retrieval.terms import metadata_terms, split_identifier

Row = TypeVar("Row")
Row_co = TypeVar("Row_co", covariant=True)

_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


class RowStore(Protocol[Row_co]):
    """The rows of one kind, without those that the index should not hold."""

    async def current(self, ids: Sequence[UUID]) -> Mapping[UUID, Row_co]: ...


class Projection(Protocol[Row]):
    """How the rows of one kind become entries."""

    @property
    def store(self) -> RowStore[Row]: ...

    @property
    def rows(self) -> IndexedRows: ...

    def embedding_text(self, row: Row) -> str:
        """Return the text that is cut into passages and embedded."""

    def lexical_text(self, row: Row, passage: str) -> str:
        """Return the text by whose words a passage is found."""

    def entry(self, row: Row, context: str | None, passages: Sequence[Passage]) -> Entry:
        """Return the entry of a row, of which `context` is the digest of its neighbours."""


class MemoryProjection:
    """Memories: found by their content, their date, and their neighbours in a session or a file."""

    def __init__(self, store: MemoryStore, rows: IndexedRows) -> None:
        self.store = store
        self.rows = rows

    def embedding_text(self, row: Memory) -> str:
        return row.content

    def lexical_text(self, row: Memory, passage: str) -> str:
        """Return the passage after its day, as people write it."""
        day = row.occurred_at
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}\n{passage}"

    def entry(self, row: Memory, context: str | None, passages: Sequence[Passage]) -> Entry:
        words: dict[str, Sequence[str]] = {
            "agent_id": (row.agent_id,),
            "kind": (row.kind,),
            "tags": row.tags,
            "metadata_terms": sorted({*metadata_terms(row.metadata), *_terms_of_other_sources(row)}),
        }
        numbers = {"occurred_at": row.occurred_at.timestamp()}
        if row.session_id is not None:
            words["session_id"] = (row.session_id,)
        if row.expires_at is not None:
            numbers["expires_at"] = row.expires_at.timestamp()
        state = ItemState(row.version, context)
        if title := title_of(row):
            passages = [replace(one, weighted_texts=[*one.weighted_texts, WeightedText(title)]) for one in passages]
        return Entry(row.memory_id, row.sequence, state, row.namespace, passages, words, numbers, group_of(row))


class ToolProjection:
    """Tools: embedded by their names and description, found by the words of their request schema too.

    The parameters are not embedded, because they blur what a tool is for.
    """

    def __init__(self, store: ToolStore, rows: IndexedRows) -> None:
        self.store = store
        self.rows = rows

    def embedding_text(self, row: Tool) -> str:
        return tool_text(row)

    def lexical_text(self, row: Tool, passage: str) -> str:  # noqa: ARG002 - each passage is found by the whole tool
        """Return the tool's text, the title and description of its schema, and its parameters."""
        schema = row.request_schema or {}
        about = [text for text in (schema.get("title"), schema.get("description")) if isinstance(text, str)]
        return "\n".join([tool_text(row), *about, *_parameters(schema)])

    def entry(self, row: Tool, context: str | None, passages: Sequence[Passage]) -> Entry:
        words = {"required_capabilities": row.required_capabilities}
        return Entry(row.id, row.sequence, ItemState(row.version, context), row.namespace, passages, words)


def tool_text(tool: Tool) -> str:
    """Return the text that a tool is embedded by: its names, with identifiers split, and its description."""
    names = {split_identifier(tool.name): None, split_identifier(tool.tool_id): None}
    return f"{'. '.join(names)}: {tool.description}"


def group_of(memory: Memory) -> Group | None:
    """Return the session that a memory is a message of, or the file that it is a chunk of by its metadata."""
    if memory.session_id is not None:
        return Group("session", _short_digest(memory.session_id))
    named = (memory.metadata.get("source"), memory.metadata.get("path"))
    if memory.kind != "document" or not all(isinstance(name, str) for name in named):
        return None
    return Group("file", _short_digest("\n".join(map(str, named))), file_words(str(named[1])))


def _terms_of_other_sources(memory: Memory) -> Iterator[str]:
    for other in also_in(memory.metadata):
        yield from metadata_terms(other)


def memory_filter(namespace: str, filter: MemoryFilter, now: datetime) -> IndexFilter:
    """Return the index's form of a filter; it never excludes a memory that Postgres would admit."""
    exact = {"kind": filter.kind, "session_id": filter.session_id, "agent_id": filter.agent_id}
    has_all: dict[str, Sequence[str]] = {name: (value,) for name, value in exact.items() if value is not None}
    if filter.tags:
        has_all["tags"] = filter.tags
    if filter.metadata:
        has_all["metadata_terms"] = metadata_terms(filter.metadata)
    return IndexFilter(
        namespace,
        has_all=has_all,
        at_least={} if filter.since is None else {"occurred_at": filter.since.timestamp()},
        at_most={} if filter.until is None else {"occurred_at": filter.until.timestamp()},
        not_expired_by={"expires_at": now.timestamp()},
    )


def tool_filter(namespace: str, filter: ToolFilter) -> IndexFilter:
    """Return the index's form of a filter."""
    return IndexFilter(
        namespace,
        has_all={"required_capabilities": filter.required} if filter.required else {},
        subset_of={} if filter.agent_has is None else {"required_capabilities": filter.agent_has},
    )


def _short_digest(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, definition in properties(schema):
        text = definition.get("description") if isinstance(definition, Mapping) else None
        yield f"{split_identifier(name)}: {text}" if isinstance(text, str) and text else split_identifier(name)
