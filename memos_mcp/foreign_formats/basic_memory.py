"""The notes of Basic Memory: a folder of Markdown with front matter, observations and relations.

The front matter has `title`, `type`, `permalink`, `tags`, `created` and `modified`. An observation is an item of a
list, `- [category] text #tag (context)`, or one without category that has a tag. A relation is one too,
`- kind [[Target]] (context)`, where a kind of several words is in quotes; `- [[Target]]` alone is a link.
Source: github.com/basicmachines-co/basic-memory, docs/NOTE-FORMAT.md and src/basic_memory/markdown/plugins.py.

Observations and relations become memories as those of a graph do (`graph_sentences`), with the title of the note as the
entity; the rest of the note becomes memories as any other note does.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from memos_mcp.domain.memory import NewMemory
from memos_mcp.foreign_formats import graph_sentences
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import text
from memos_mcp.foreign_formats.notes import NoteText, read_note

FILES: Final = re.compile(r"\.md$", re.IGNORECASE)

_ITEM: Final = re.compile(r"\s*[-*+][ \t]+(?P<text>\S.*)$")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_CATEGORY: Final = re.compile(r"\[(?P<category>[^\[\]()]+)\]\s+(?P<text>.+)", re.DOTALL)
_CLOCK: Final = re.compile(r"[\d:.,\s-]+$")
"""The time of a line of a transcript, which stands in brackets as categories do."""

_HASHTAG: Final = re.compile(r"(?:^|\s)#([^\s#]+)")
_RELATION: Final = re.compile(
    r"(?:\"(?P<double>[^\"]+)\"|'(?P<single>[^']+)'|(?P<word>\S+))?\s*"
    r"\[\[(?P<target>[^\[\]]+)\]\]\s*(?:\((?P<context>[^()]*)\))?$"
)
_EMPTIED: Final = re.compile(r"^#{1,6}[ \t]+(?:Observations|Relations)[ \t]*\n\s*(?=#|\Z)", re.MULTILINE)
"""The conventional headings, once their lists have become memories."""


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the memories of a note."""
    note = read_note("basic-memory", file)
    remaining: list[str] = []
    memories: list[NewMemory] = []
    for item, lines in _items(note.body.split("\n")):
        new = None if item is None else _fact(note, item)
        if new is None:
            remaining += lines
        else:
            memories.append(new)
    for number, new in enumerate(memories, start=1):
        yield ForeignMemory(f"{file.name}: item {number}", new)
    prose = _EMPTIED.sub("", "\n".join(remaining))
    if any(line.strip() and not line.startswith("#") for line in prose.split("\n")):
        yield from replace(note, body=prose).memories(file.name)
    elif not memories:
        yield NotImported(file.name, "notes without text")
    yield from note.remarks(file.name)


def _items(lines: Sequence[str]) -> Iterator[tuple[str | None, Sequence[str]]]:
    """Yield the items of lists outside of fenced code, each with its text and its lines; other lines have no text."""
    fence, at = "", 0
    while at < len(lines):
        start, at = at, at + 1
        opened, item = _FENCE.match(lines[start]), _ITEM.match(lines[start])
        if opened:
            fence = opened[1][:3] if not fence else "" if opened[1].startswith(fence) else fence
        if fence or item is None:
            yield None, lines[start:at]
            continue
        while at < len(lines) and lines[at][:1] in {" ", "\t"} and lines[at].strip() and not _ITEM.match(lines[at]):
            at += 1
        yield " ".join([item["text"].strip(), *(line.strip() for line in lines[start + 1 : at])]), lines[start:at]


def _fact(note: NoteText, item: str) -> NewMemory | None:
    """Return the memory of an observation or relation, or None for any other item."""
    written, relation = _CATEGORY.match(item), _RELATION.fullmatch(item)
    category = written["category"].strip() if written is not None else None
    if category is not None and _is_task(category):
        return None
    if category is not None and _CLOCK.match(category):
        category = None
    hashtags = _HASHTAG.findall(item)
    if category is None and relation is not None:
        kind = relation["double"] or relation["single"] or relation["word"] or "links_to"
        new = graph_sentences.relation(note.title, kind, relation["target"].strip(), text(relation["context"]))
        return replace(new, tags=note.tags, metadata={**note.metadata, **new.metadata}, occurred_at=note.time)
    if category is None and not hashtags:
        return None
    tags = [*hashtags, *note.tags] if category is None else [category, *hashtags, *note.tags]
    metadata = note.metadata if category is None else {**note.metadata, "category": category}
    return replace(note.memory(f"{note.title}: {item}"), tags=list(dict.fromkeys(tags)), metadata=metadata)


def _is_task(category: str) -> bool:
    """Whether this is the box of a task, such as `[ ]`, `[x]` or `[>]`."""
    return len(category) == 0 or (len(category) == 1 and (category in "xX" or not category.isalnum()))
