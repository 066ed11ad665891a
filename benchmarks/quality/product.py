"""Asks the product: calls `discover_tools` and `query_memory` of the real server, as a client would.

Answers have `HITS` items, the default of `query_memory`. Where several passages of one session or file count as one
item, up to `MAX_MEMORIES` memories are read, page by page, until there are `HITS` distinct items.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from line_client import LineClient, connected, opened

from memos_mcp.services.search import MAX_QUERY_CHARS
from quality.datasets import Question
from quality.loading import wait
from quality.metrics import DEPTH
from quality.plans import Plan

HITS = DEPTH
MAX_MEMORIES = 100
MAX_TOKENS = 10_000

Hit = Mapping[str, Any]


@dataclass(slots=True)
class Answers:
    """The product's answers: by question, the ids of the dataset, whether it was confident, and the best score.

    `milliseconds`: of each question; `short`: the number of answers that the size limit cut.
    """

    ranked: dict[str, list[str]] = field(default_factory=dict)
    confident: dict[str, bool | None] = field(default_factory=dict)
    best: dict[str, float] = field(default_factory=dict)
    milliseconds: list[float] = field(default_factory=list)
    degraded: int = 0
    short: int = 0

    def add(self, question: str, ranked: Iterable[str], first: Mapping[str, Any], hits: Sequence[Hit]) -> None:
        """Add an answer: its ids, its first page and all its hits."""
        self.ranked[question] = list(ranked)[:HITS]
        self.confident[question] = first.get("confident")
        self.best[question] = hits[0]["score"] if hits else 0.0
        self.degraded += first["degraded"] is not None


@contextmanager
def served(plan: Plan, home: Path) -> Iterator[None]:
    """Keep the home's engine running, with its model loaded and its index complete."""
    with connected(home) as client:
        wait(client, "discover_tools" if plan.tools else "query_memory")
        yield


@contextmanager
def client_of(home: Path, namespace: str) -> Iterator[LineClient]:
    """Yield a client that is bound to a namespace; another client keeps the engine running."""
    with opened(LineClient(home, namespace=namespace)) as client:
        yield client


def ask(plan: Plan, home: Path, marks: Mapping[str, str], namespaces: Mapping[str, str] | None = None) -> Answers:
    """Ask each question in its namespace, or in the one that `namespaces` maps it to. `marks`: the mark by item id."""
    answers = Answers()
    for namespace in plan.namespaces:
        elsewhere = (namespaces or {}).get(namespace, namespace)
        with client_of(home, elsewhere) as client:
            for question in plan.questions:
                if question.namespace == namespace:
                    ask_one(client, plan, question, elsewhere, marks, answers)
    return answers


def ask_one(
    client: LineClient,
    plan: Plan,
    question: Question,
    namespace: str,
    marks: Mapping[str, str],
    answers: Answers,
    **more: Any,
) -> None:
    """Ask one question and add the answer; `more`: further arguments of the tool."""
    text = question.text[:MAX_QUERY_CHARS]
    began = time.perf_counter()
    if plan.tools:
        answer = client.call("discover_tools", query=text, limit=HITS, **more)
        hits = answer["tools"]
        answers.short += len(hits) < min(HITS, answer["total"])
        found = plan.expand(namespace, (hit["tool_id"] for hit in hits))
    else:
        limit = MAX_MEMORIES if plan.grouped else HITS
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
