"""Reads sets of questions. What a set is about shows in the files that stand beside its `queries.jsonl`.

`queries.jsonl` has `query_id`, `query`, `gold` (ids) and the set's own keys; each file may be gzipped (`.gz`).

- tools: `tools.jsonl` with `tool_id`, `name`, `description`, `parameters`, `server`, `server_description`, `category`.
- turns: `docs.jsonl` with `doc_id`, `text`, `timestamp`, `meta` (`namespace`, `session`).
- sessions: `docs.jsonl` with `doc_id`, `turns` (role and text); a question's `haystack` lists session and time.
- code: no other file; `gold` are paths in a folder that the command line names.
"""

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["tools", "turns", "sessions", "code"]
Row: TypeAlias = Mapping[str, Any]

NAMESPACE = "default"
"""Of questions and documents that name none."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, in which namespace, and the ids that answer it; `row` has the set's own keys."""

    id: str
    text: str
    gold: frozenset[str]
    namespace: str
    row: Row

    @property
    def headline(self) -> bool:
        """Whether it counts in the figure of the whole set: an adversarial question asks for what was never said."""
        return self.row.get("category") != "adversarial" and not self.row.get("abstention")


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """A set: its questions, and the tools or documents that they are about (none for code)."""

    name: str
    kind: Kind
    questions: Sequence[Question]
    documents: Sequence[Row]


def find(data: Path, names: Sequence[str], limit: int | None) -> Iterator[QuestionSet]:
    """Yield the sets in a folder, with at most `limit` questions each; of these names only, if there are any."""
    seen: dict[str, Path] = {}
    for path in sorted(data.rglob("queries.jsonl*")):
        folder = path.parent
        if names and folder.name not in names:
            continue
        if folder.name in seen:
            raise SystemExit(f"two sets have the same name: {seen[folder.name]} and {folder}")
        seen[folder.name] = folder
        yield read(folder, limit)
    if missing := set(names) - seen.keys():
        raise SystemExit(f"{data} has no set of the name {', '.join(sorted(missing))}")


def read(folder: Path, limit: int | None) -> QuestionSet:
    """Read one set; fewer questions are spread evenly over all of them."""
    questions = [_question(row) for row in rows(folder, "queries") if row["gold"]]
    if limit is not None and limit < len(questions):
        questions = [questions[place * len(questions) // limit] for place in range(limit)]
    tools = list(rows(folder, "tools"))
    documents = tools or list(rows(folder, "docs"))
    return QuestionSet(folder.name, _kind(tools, documents), questions, documents)


def rows(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSON Lines file, gzipped or not; none when it is not there."""
    plain, packed = folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz"
    if plain.exists() or packed.exists():
        with plain.open("rb") if plain.exists() else gzip.open(packed) as lines:
            yield from (json.loads(line) for line in lines if line.strip())


def _kind(tools: Sequence[Row], documents: Sequence[Row]) -> Kind:
    if tools:
        return "tools"
    if documents:
        return "sessions" if "turns" in documents[0] else "turns"
    return "code"


def _question(row: dict[str, Any]) -> Question:
    namespace = str(row.get("namespace") or NAMESPACE)
    return Question(str(row["query_id"]), row["query"], frozenset(row["gold"]), namespace, row)
