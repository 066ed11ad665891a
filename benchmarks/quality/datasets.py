"""Reads datasets of questions. The files beside its `queries.jsonl` determine the kind of a dataset.

`queries.jsonl` has `query_id`, `query`, `gold` (ids) and further keys of the dataset; each file may be gzipped (`.gz`).

- tools: `tools.jsonl` with `tool_id`, `name`, `description`, `parameters`, `server`, `server_description`, `category`.
- messages: `docs.jsonl` with `doc_id`, `text`, `timestamp`, `meta` (`namespace`, `session`).
- sessions: `docs.jsonl` with `doc_id`, `turns` (role and text); a question's `haystack` lists sessions and their times.
- code: no other file; `gold` has paths in a folder that the command line names.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["tools", "messages", "sessions", "code"]
Row: TypeAlias = Mapping[str, Any]

NAMESPACE = "default"
"""The namespace of questions and items without one."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its namespace and the ids that answer it; `row` has the further keys of the dataset."""

    id: str
    text: str
    gold: frozenset[str]
    namespace: str
    row: Row

    @property
    def headline(self) -> bool:
        """Whether it counts in the figures of the whole dataset; adversarial questions without an answer do not."""
        return self.row.get("category") != "adversarial" and not self.row.get("abstention")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The questions, and the tools, messages or sessions that they are about (none for code)."""

    name: str
    kind: Kind
    questions: Sequence[Question]
    items: Sequence[Row]


def find(data: Path, names: Sequence[str], limit: int | None) -> Iterator[Dataset]:
    """Yield the datasets in a folder, with at most `limit` questions each; only those with these names, if any."""
    seen: dict[str, Path] = {}
    for path in sorted(data.rglob("queries.jsonl*")):
        folder = path.parent
        if names and folder.name not in names:
            continue
        if folder.name in seen:
            raise SystemExit(f"two datasets have the same name: {seen[folder.name]} and {folder}")
        seen[folder.name] = folder
        yield read(folder, limit)
    if missing := set(names) - seen.keys():
        raise SystemExit(f"{data} has no dataset with the name {', '.join(sorted(missing))}")


def read(folder: Path, limit: int | None) -> Dataset:
    """Read one dataset; a limited number of questions is spread evenly over all of them."""
    questions = [_question(row) for row in rows(folder, "queries") if row["gold"]]
    if limit is not None and limit < len(questions):
        questions = [questions[index * len(questions) // limit] for index in range(limit)]
    tools = list(rows(folder, "tools"))
    items = tools or list(rows(folder, "docs"))
    return Dataset(folder.name, _kind(tools, items), questions, items)


def rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file, gzipped or not; none when it does not exist."""
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if plain.exists() or packed.exists():
        with plain.open("rb") if plain.exists() else gzip.open(packed) as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def _kind(tools: Sequence[Row], items: Sequence[Row]) -> Kind:
    if tools:
        return "tools"
    if items:
        return "sessions" if "turns" in items[0] else "messages"
    return "code"


def _question(row: dict[str, Any]) -> Question:
    namespace = str(row.get("namespace") or NAMESPACE)
    return Question(str(row["query_id"]), row["query"], frozenset(row["gold"]), namespace, row)
