"""Notes in Markdown: reads the file of one, and makes memories of its parts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import NewMemory
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import labels, moment, session, text
from memos_mcp.foreign_formats.front_matter import split_note
from memos_mcp.foreign_formats.note_sections import section_contents

FILES: Final = re.compile(r"\.(md|markdown)$", re.IGNORECASE)
MAX_NOTE_BYTES: Final = 16 * 1024 * 1024

_TIMES: Final = ("created", "created_at", "date")
_DATED_NAME: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?!\d)")
_OWN_FIELDS: Final = frozenset({"title", "tags", *_TIMES})


@dataclass(frozen=True, slots=True)
class NoteText:
    """A note: its title, its text without the front matter, and what its memories have in common.

    `own_id`: what its session is made of, which should stay when the note is edited. `has_unread_date`: a date of
    its front matter could not be read, and is in the metadata as text.
    """

    system: str
    own_id: str
    title: str
    body: str
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    time: datetime | None
    has_unread_date: bool = False

    def memories(self, where: str) -> Iterator[Entry]:
        """Yield the note as one memory or, if it is long, one for each heading; these are a session, in order."""
        contents = section_contents(self.title, self.body)
        parts = session(self.system, self.own_id) if len(contents) > 1 else None
        for content in contents:
            yield ForeignMemory(where, self.memory(content, parts))

    def remarks(self, where: str) -> Iterator[NotImported]:
        """Yield what of the note is not imported."""
        if self.has_unread_date:
            yield NotImported(where, "dates that cannot be read")

    def memory(self, content: str, session_id: str | None = None) -> NewMemory:
        """Return a memory of the note with this content."""
        return NewMemory(content, "semantic", self.tags, self.metadata, session_id=session_id, occurred_at=self.time)


def read_note(system: str, file: ExportFile) -> NoteText:
    """Read the file of a note; raise `Invalid` when it is none.

    Its time is that of the front matter, otherwise a date that its name begins with, otherwise when it was modified.
    People write dates in any form, so one that cannot be read is kept as text.
    """
    try:
        whole = file.read(MAX_NOTE_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("This is not UTF-8. Save it as UTF-8.") from None
    fields, body = split_note(whole.replace("\r\n", "\n").replace("\r", "\n"))
    stem = PurePosixPath(file.name).stem
    title = text(fields.get("title")) or stem
    written = {name: fields[name] for name in _TIMES if fields.get(name)}
    times = [_date(value) for value in written.values()]
    unread = [name for name, time in zip(written, times, strict=True) if time is None]
    kept = {name: value for name, value in fields.items() if value and (name in unread or name not in _OWN_FIELDS)}
    dated = _DATED_NAME.match(stem)
    return NoteText(
        system,
        text(fields.get("permalink")) or file.name,
        title,
        body,
        labels("tags", fields.get("tags")),
        {**kept, "title": title, "path": file.name},
        next(filter(None, [*times, dated and _date(dated[0]), file.modified]), None),
        bool(unread),
    )


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the memories of a note: Markdown, with YAML front matter or without, as Obsidian and others write it."""
    note = read_note("markdown", file)
    memories = list(note.memories(file.name))
    yield from memories or [NotImported(file.name, "notes without text")]
    yield from note.remarks(file.name)


def _date(written: object) -> datetime | None:
    """Return the time that is written, or None if it cannot be read."""
    try:
        return moment("date", written)
    except Invalid:
        return None
