"""Chooses the files that define what a part of a file uses. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from memos_mcp.domain.chunk import MAX_USES

MAX_RELATED: Final = 5

_INDEX_STEMS: Final = frozenset({"__init__", "index", "lib", "main", "mod"})
"""Files that stand for their folder in an import."""


@dataclass(frozen=True, slots=True)
class LinkedPart:
    """A part of a file of a source, with the names that it uses and the words of each import that it needs."""

    source: str
    path: str
    uses: Sequence[str]
    imports: Sequence[Sequence[str]]


def part_of(metadata: Mapping[str, Any]) -> LinkedPart | None:
    """Return the part that the metadata of a memory describes; None if it names nothing that it uses."""
    source, path, uses = metadata.get("source"), metadata.get("path"), metadata.get("uses")
    if not isinstance(source, str) or not isinstance(path, str) or not isinstance(uses, list):
        return None
    names = [name for name in uses if isinstance(name, str)][:MAX_USES]
    imports = metadata.get("imports")
    words = [one.split(".") for one in imports if isinstance(one, str)] if isinstance(imports, list) else []
    return LinkedPart(source, path, names, words) if names else None


def related_paths(part: LinkedPart, definitions: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files that surely define what a part uses, those with the most of it first.

    `definitions` has the files that define each name, of which several are too many unless an import names one. A name
    that the part's own file defines is not resolved, nor one that is imported from another project.
    """
    found: Counter[str] = Counter()
    for name in part.uses:
        paths = definitions.get(name, ())
        if part.path in paths:
            continue
        matching = list(_imported(name, paths, part.imports))
        if len(matching) == 1:
            found[matching[0]] += len(part.uses)  # an import counts more than any number of equal names
        elif len(paths) == 1 and _may_be_from(paths[0], name, part.imports):
            found[paths[0]] += 1
    return [path for path, _ in found.most_common(MAX_RELATED)]


def _imported(name: str, paths: Sequence[str], imports: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the paths that best fit an import that has this name, or the module through which it is called."""
    scores = {path: max((_score(path, words, name) for words in imports), default=0) for path in paths}
    best = max(scores.values(), default=0)
    yield from (path for path, score in scores.items() if score == best > 0)


def _may_be_from(path: str, name: str, imports: Sequence[Sequence[str]]) -> bool:
    """Whether a name can be defined there: it is not imported, or from a package that a folder of the path names."""
    importing = [words for words in imports if name in words]
    return not importing or any(folder in words for words in importing for folder in PurePosixPath(path).parts[:-1])


def _score(path: str, words: Sequence[str], name: str) -> int:
    """Return how much of a path an import names: 0 without its last part, and more if it has the name itself."""
    pure = PurePosixPath(path)
    parts = [*pure.parts[:-1], *(() if pure.stem in _INDEX_STEMS else (pure.stem,))]
    if not parts or parts[-1] not in words:
        return 0
    tail = 0
    for part in reversed(parts):
        if part not in words:
            break
        tail += 1
    return 2 * tail + (name in words)
