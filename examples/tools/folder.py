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
class TextFile:
    """A text with its title, whose words count `TITLE_WEIGHT` times."""

    url: str
    title: str
    text: str

    @cached_property
    def words(self) -> Counter[str]:
        """The number of occurrences of each word."""
        return Counter(words(self.text) + words(self.title) * TITLE_WEIGHT)


class Folder:
    """The text files of a folder, read once."""

    def __init__(self, folder: Path) -> None:
        self._files = _read(folder)
        self._files_with = Counter(word for file in self._files for word in file.words)
        self._mean = sum(file.words.total() for file in self._files) / (len(self._files) or 1) or 1.0

    async def search(self, query: str, limit: int) -> list[Result]:
        """Return the best matching files, each with its best passage; files without a common word are left out."""
        weights = {word: self._weight(word) for word in set(words(query)) if word in self._files_with}
        scored = [(self._score(file, weights), file) for file in self._files]
        best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: (-pair[0], pair[1].url))
        return [
            {"title": file.title, "url": file.url, "snippet": _snippet(file.text, weights)} for _, file in best[:limit]
        ]

    def _weight(self, word: str) -> float:
        """Return the inverse document frequency of a word."""
        count = self._files_with[word]
        return log(1 + (len(self._files) - count + 0.5) / (count + 0.5))

    def _score(self, file: TextFile, weights: dict[str, float]) -> float:
        length = K1 * (1 - B + B * file.words.total() / self._mean)
        counts = {word: file.words[word] for word in weights}
        return sum(weights[word] * count * (K1 + 1) / (count + length) for word, count in counts.items())


def words(text: str) -> list[str]:
    """Return the words in lower case, the plural as the singular."""
    return [re.sub(r"(?<=\w{3})s$", "", word) for word in re.findall(r"\w+", text.lower())]


def _read(folder: Path) -> list[TextFile]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return [_read_file(path) for path in paths[:MAX_FILES] if path.stat().st_size <= MAX_FILE_BYTES]


def _read_file(path: Path) -> TextFile:
    """Read a text; its first line is its title."""
    first, _, rest = path.read_text(encoding="utf-8", errors="replace").strip().partition("\n")
    return TextFile(path.absolute().as_uri(), first.strip("#=* ") or path.stem, rest.strip() or first)


def _snippet(text: str, weights: dict[str, float]) -> str:
    """Return the paragraph with the highest weight of query words."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip()]
    best = max(paragraphs, key=lambda part: sum(weights.get(word, 0) for word in set(words(part))), default="")
    return best if len(best) <= MAX_SNIPPET_CHARS else best[: MAX_SNIPPET_CHARS - 1] + "…"
