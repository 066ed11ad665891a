"""Asks the product: `discover_tools` and `query_memory`, over the real server, as a client would.

Answers are taken with `HITS` items, the default of `query_memory`. Where several passages of one session or file
count as one answer, up to `MOST` memories are read, page by page, until `HITS` different ones are there.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from line_client import LineClient, connected, opened

from memos_mcp.services.search import MAX_QUERY_CHARS
from quality.loading import wait
from quality.measures import DEPTH
from quality.plans import Plan
from quality.sets import Question

HITS = DEPTH
MOST = 100
MAX_TOKENS = 10_000

Hit = Mapping[str, Any]


@dataclass(slots=True)
class Answers:
    """What the product answered: by question, the ids of the set, whether it was confident, and the best score.

    `milliseconds` are those of the calls; `short` counts answers that had fewer items than asked, for want of room.
    """

    ranked: dict[str, list[str]] = field(default_factory=dict)
    confident: dict[str, bool | None] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    degraded: int = 0
    short: int = 0

    def add(self, question: str, ranked: Iterable[str], first: Mapping[str, Any], hits: Sequence[Hit]) -> None:
        """Take an answer: what it comes to, and its first page."""
        self.ranked[question] = list(ranked)[:HITS]
        self.confident[question] = first.get("confident")
        self.best[question] = hits[0]["score"] if hits else 0.0
        self.degraded += first["degraded"] is not None


@contextmanager
def served(plan: Plan, home: Path) -> Iterator[None]:
    """Keep the home's engine, with its model and its whole index, for as long as it is asked."""
    with connected(home) as client:
        wait(client, "discover_tools" if plan.tools else "query_memory")
        yield


@contextmanager
def client_of(home: Path, namespace: str) -> Iterator[LineClient]:
    """Lend a client that is bound to a namespace, beside the one that keeps the engine."""
    with opened(LineClient(home, namespace=namespace)) as client:
        yield client


def ask(plan: Plan, home: Path, marks: Mapping[str, str], namespaces: Mapping[str, str] | None = None) -> Answers:
    """Ask each question in its namespace, or in the one that `namespaces` names instead. `marks`: of each item's id."""
    answers = Answers()
    for namespace in plan.namespaces:
        elsewhere = (namespaces or {}).get(namespace, namespace)
        with client_of(home, elsewhere) as client:
            for question in plan.questions:
                if question.namespace == namespace:
                    one(client, plan, question, elsewhere, marks, answers)
    return answers


def one(
    client: LineClient,
    plan: Plan,
    question: Question,
    namespace: str,
    marks: Mapping[str, str],
    answers: Answers,
    **more: Any,
) -> None:
    """Ask one question and add the answer; `more` are further arguments of the tool."""
    text = question.text[:MAX_QUERY_CHARS]
    began = time.perf_counter()
    if plan.tools:
        answer = client.call("discover_tools", query=text, limit=HITS, **more)
        hits = answer["tools"]
        answers.short += len(hits) < min(HITS, answer["total"])
        found = plan.expand(namespace, (hit["tool_id"] for hit in hits))
    else:
        limit = MOST if plan.grouped else HITS
        answer = client.call("query_memory", query=text, limit=limit, max_tokens=MAX_TOKENS, **more)
        hits, page = list(answer["memories"]), answer
        while page["next_cursor"] is not None and not _enough(hits, marks, limit):
            page = client.call(
                "query_memory", query=text, limit=limit, max_tokens=MAX_TOKENS, cursor=page["next_cursor"]
            )
            hits += page["memories"]
        found = plan.expand(namespace, (marks[hit["memory_id"]] for hit in hits[:limit]))
    answers.milliseconds.append((time.perf_counter() - began) * 1000)
    answers.add(question.id, found, answer, hits)


def _enough(hits: Sequence[Hit], marks: Mapping[str, str], limit: int) -> bool:
    return len(hits) >= limit or len({marks[hit["memory_id"]] for hit in hits}) >= HITS
