"""Reads an export in one of the known formats: its valid memories, and what is not imported, with the reason."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MAX_CONTENT_BYTES, NewMemory
from memos_mcp.foreign_formats import (
    basic_memory,
    chatgpt,
    claude,
    mcp_memory_service,
    mem0,
    notes,
    server_memory,
)
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import Export, ExportFile
from memos_mcp.foreign_formats.note_sections import split_long


@dataclass(frozen=True, slots=True)
class ForeignFormat:
    """A format: the names of its files, in words and as a pattern, and its reader."""

    names: str
    pattern: re.Pattern[str]
    read: Callable[[ExportFile], Iterator[Entry]]


FORMATS: Final[Mapping[str, ForeignFormat]] = {
    "server-memory": ForeignFormat("memory.jsonl", server_memory.FILES, server_memory.read),
    "mem0": ForeignFormat("memories.json", mem0.FILES, mem0.read),
    "mcp-memory-service": ForeignFormat("memories.json", mcp_memory_service.FILES, mcp_memory_service.read),
    "basic-memory": ForeignFormat("note.md", basic_memory.FILES, basic_memory.read),
    "chatgpt": ForeignFormat("conversations.json or conversations-000.json", chatgpt.FILES, chatgpt.read),
    "claude": ForeignFormat("conversations.json, projects.json or memories.json", claude.FILES, claude.read),
    "markdown": ForeignFormat("note.md", notes.FILES, notes.read),
}

_DIGEST_BYTES: Final = 16


class ForeignExport:
    """An export in a format of `FORMATS`. `now` decides what has expired."""

    def __init__(self, path: Path, name: str, now: datetime) -> None:
        """Find the files of the export; raise `Invalid` when there are none."""
        self._name = name
        self._format = FORMATS[name]
        self._now = now
        self._seen: set[bytes] = set()
        self._export = Export(path, self._format.pattern)
        if not self._export.files:
            raise Invalid(f"{path} has no file of this format, such as {self._format.names}.")

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return self._export.size

    @property
    def bytes_read(self) -> int:
        """The bytes that have been read."""
        return self._export.bytes_read

    def close(self) -> None:
        """Close its files."""
        self._export.close()

    def entries(self) -> Iterator[Entry]:
        """Yield the memories of all files in order, each of them valid, and everything that is none."""
        for name in self._export.others:
            yield NotImported(name, "files of other kinds")
        for file in self._export.files:
            try:
                for entry in self._format.read(file):
                    yield from self._finished(entry)
            except Invalid as error:
                yield NotImported(file.name, str(error), refused=True)

    def _finished(self, entry: Entry) -> Iterator[Entry]:
        if isinstance(entry, NotImported):
            yield entry
            return
        parts = list(split_long(entry.new.content, MAX_CONTENT_BYTES))
        for number, content in enumerate(parts, start=1):
            part = {} if len(parts) == 1 else {"part": number, "parts": len(parts)}
            metadata = {**entry.new.metadata, "imported_from": self._name, **part}
            yield self._checked(ForeignMemory(entry.where, replace(entry.new, content=content, metadata=metadata)))

    def _checked(self, entry: ForeignMemory) -> Entry:
        """Return a memory if it is valid, live and new in this export."""
        new = entry.new
        try:
            new.check()
        except Invalid as error:
            return NotImported(entry.where, str(error), refused=True)
        if new.expires_at is not None and new.expires_at <= self._now:
            return NotImported(entry.where, "expired")
        digest = _digest(new)
        if digest in self._seen:
            return NotImported(entry.where, "repetitions of the same text")
        self._seen.add(digest)
        return entry


def _digest(new: NewMemory) -> bytes:
    """Return what makes a memory the same as another one in the record: its session and content.

    A repetition is not stored again: its metadata would replace those of the first one, and back at the next import.
    """
    return sha256((new.session_id or "").encode() + b"\0" + new.content_hash).digest()[:_DIGEST_BYTES]
