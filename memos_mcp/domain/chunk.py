"""Chunks: the parts of a file that are remembered as memories of their own."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, Final

from memos_mcp.domain.memory import MAX_CONTENT_BYTES, MAX_METADATA_CHARS, Memory, NewMemory

PROSE: Final = frozenset({"markdown", "restructuredtext", "pdf", "docx", "pptx", "xlsx", "odt", "odp", "ods"})
"""Languages, and formats of office files, whose names are headings."""

_SETTINGS: Final = frozenset({"ini", "json", "toml", "xml", "yaml"})

MAX_SYMBOL_CHARS: Final = 255


MAX_USES: Final = 12
"""Used names of a chunk that are kept and resolved, so that metadata written by hand costs no more than a file's."""


@dataclass(frozen=True, slots=True)
class Links:
    """What a chunk defines and uses, each name once. An import is its words, joined by points."""

    defines: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


LINK_KEYS: Final = frozenset(one.name for one in fields(Links))
"""The keys of `Links` in the metadata of a chunk."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive lines of a file, counted from 1, both ends included; `path` is relative to its root, with slashes.

    `symbol` names the definitions in it (several are separated by commas), `enclosing` those around them, outermost
    first. `text` holds these lines exactly; a part of a long definition has its signature and a mark above them, and of
    a file of data, which `data` describes, it is a summary.
    `section` are the headings above a part of a file that is cut by itself, or the kind of that part, and `details` are
    more metadata. `prose` marks text in another language than those of `PROSE`, such as that of an HTML page.
    """

    path: str
    language: str | None
    symbol: str | None
    enclosing: tuple[str, ...]
    first_line: int
    last_line: int
    text: str
    section: tuple[str, ...] = ()
    prose: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] | None = None
    links: Links = Links()

    @property
    def name(self) -> str:
        """The symbol after the names that enclose it, `QuerySet.filter` or `Guide > Setup`; empty without any."""
        between = " > " if self.prose or self.language in PROSE else "."
        inner = between.join((*self.enclosing, self.symbol) if self.symbol else self.enclosing)
        full = " > ".join((*self.section, inner) if inner else self.section)
        return full if len(full) <= MAX_SYMBOL_CHARS else f"{full[: MAX_SYMBOL_CHARS - 1]}…"

    @property
    def content(self) -> str:
        """The text that is stored and embedded. It holds no line numbers, so that an edit above does not change it."""
        return "\n".join(part for part in (self.path, self.name, f"\n{self.text}") if part)

    def new_memory(self, source: str) -> NewMemory:
        """Return this chunk as a memory of a source (a name that stands for the root).

        Parts that are too long for a memory are cut: the text of a single gigantic line, the innermost of many folders.
        """
        content = self.content.encode()[:MAX_CONTENT_BYTES].decode(errors="ignore")
        return NewMemory(content, kind="document", tags=self._tags(), metadata=self._metadata(source))

    def _tags(self) -> tuple[str, ...]:
        if self.data is not None:
            return ("data",) if self.language is None else ("data", self.language)
        if self.language is None:
            return ("docs",)
        kind = "docs" if self.prose or self.language in PROSE else "config" if self.language in _SETTINGS else "code"
        return kind, self.language

    def _metadata(self, source: str) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "source": source,
            "path": self.path,
            "folders": [],
            "lines": [self.first_line, self.last_line],
            **self.details,
        }
        if self.language is not None:
            metadata["language"] = self.language
        if self.name:
            metadata["symbol"] = self.name
        if self.data is not None:
            metadata["data"] = dict(self.data)
        available = MAX_METADATA_CHARS - _size(metadata)
        for folder in reversed(PurePosixPath(self.path).parents[:-1]):  # outermost first: `a` and `a/b` of `a/b/c.py`
            available -= _size(str(folder)) + 1
            if available < 0:
                break
            metadata["folders"].append(str(folder))
        for key, names in asdict(self.links).items():
            available -= _size({key: names})
            if names and available >= 0:
                metadata[key] = list(names)
        return metadata


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def title_of(memory: Memory) -> str:
    """Return the path and the names of a chunk that defines something; empty for other chunks and memories.

    Its words are in the content too. In a text of their own, which is short, they weigh more than those of a body: a
    definition is found before the code that uses it. Chunks without names have none: in files of styles, templates and
    settings, which have many, the path would only lift all of them.
    """
    names = (memory.metadata.get("path"), memory.metadata.get("symbol"))
    if memory.kind != "document" or not all(isinstance(name, str) for name in names):
        return ""
    return "\n".join(map(str, names))
