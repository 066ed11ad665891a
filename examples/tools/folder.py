"""A folder of text files that can be searched by words."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import log
from pathlib import Path
from typing import Final, TypedDict

SUFFIXES: Final = frozenset({".txt", ".md", ".rst"})
MAX_FILES: Final = 10_000
MAX_FILE_BYTES: Final = 1024 * 1024
MAX_SNIPPET_CHARS: Final = 300
TITLE_WEIGHT: Final = 3

# Okapi BM25 with its usual constants (Robertson and Zaragoza 2009, section 3.3).
K1: Final = 1.2
B: Final = 0.75


class Result(TypedDict):
    """One result of a search."""

    title: str
    url: str
    snippet: str


@dataclass(frozen=True)
class Document:
    """A text with its title, which counts as much as several mentions."""

    url: str
    title: str
    text: str

    @cached_property
    def words(self) -> Counter[str]:
        """How often each word stands in it."""
        return Counter(words(self.text) + words(self.title) * TITLE_WEIGHT)


class Folder:
    """The text files of a folder, read once."""

    def __init__(self, folder: Path) -> None:
        self._documents = _read(folder)
        self._files_with = Counter(word for document in self._documents for word in document.words)
        self._mean = sum(document.words.total() for document in self._documents) / (len(self._documents) or 1) or 1.0

    async def search(self, query: str, limit: int) -> list[Result]:
        """Return the documents that fit best, each with its best passage; none that shares no word."""
        weights = {word: self._weight(word) for word in set(words(query)) if word in self._files_with}
        scored = [(self._score(document, weights), document) for document in self._documents]
        best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: (-pair[0], pair[1].url))
        return [
            {"title": document.title, "url": document.url, "snippet": _snippet(document.text, weights)}
            for _, document in best[:limit]
        ]

    def _weight(self, word: str) -> float:
        """Return how telling a word is: the fewer documents have it, the more."""
        having = self._files_with[word]
        return log(1 + (len(self._documents) - having + 0.5) / (having + 0.5))

    def _score(self, document: Document, weights: dict[str, float]) -> float:
        length = K1 * (1 - B + B * document.words.total() / self._mean)
        counts = {word: document.words[word] for word in weights}
        return sum(weights[word] * count * (K1 + 1) / (count + length) for word, count in counts.items())


def words(text: str) -> list[str]:
    """Return the words in lower case, the plural as the singular."""
    return [re.sub(r"(?<=\w{3})s$", "", word) for word in re.findall(r"\w+", text.lower())]


def _read(folder: Path) -> list[Document]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [_document(path) for path in paths[:MAX_FILES] if path.stat().st_size <= MAX_FILE_BYTES]


def _document(path: Path) -> Document:
    """Read a text; its first line is its title."""
    first, _, rest = path.read_text(encoding="utf-8", errors="replace").strip().partition("\n")
    return Document(path.absolute().as_uri(), first.strip("#=* ") or path.stem, rest.strip() or first)


def _snippet(text: str, weights: dict[str, float]) -> str:
    """Return the paragraph with the most telling words of the query."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    best = max(paragraphs, key=lambda part: sum(weights.get(word, 0) for word in set(words(part))), default="")
    return best if len(best) <= MAX_SNIPPET_CHARS else best[: MAX_SNIPPET_CHARS - 1] + "…"
