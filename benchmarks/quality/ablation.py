"""Measures each part of the retrieval: the same questions, for the product with one part removed or replaced.

All code is the product's own, composed as usual and called in process at its services. Three things differ. The index's
shards are in this process, where a part of them can be replaced. They have no graph, so that a difference comes from
the part and not from the graph. The vectors of a question are computed once.

The home is not changed: a copy of its Postgres is used. The copy holds the vectors, so only texts that the product does
not embed need an inference. A variant that changes the index gets a new one. Variants that change only the ranking
share the product's index, and each question is answered by all of them before the next.
"""

import os
import shutil
from array import array
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import anyio
import anyio.lowlevel

from memos_mcp.app import App, compose, running
from memos_mcp.domain.index import Entry, IndexFilter, IndexQuery, ItemKind, Lanes, Vector
from memos_mcp.domain.memory import MemoryQuery
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolQuery
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.edge.shards import Shards
from memos_mcp.qdrant.edge.worker import HEADER, pack, unpack
from memos_mcp.qdrant.edge.worker_handle import WorkerHandle, put_request
from memos_mcp.qdrant.lanes import NumberedAnswers
from memos_mcp.qdrant.points import write_batches
from memos_mcp.services.search import MAX_QUERY_CHARS
from memos_mcp.settings import DEFAULT_MODEL, Settings
from quality.datasets import Question
from quality.home_database import opened
from quality.loading import READY_SECONDS
from quality.metrics import measure
from quality.plans import Plan
from quality.product import HITS, MAX_MEMORIES
from quality.variants import FULL, INDEX, LANES, RANKING, Transform, Variant, unchanged

NO_GRAPH = 10_000_000

Figures = dict[str, list[dict[str, float]]]
"""For each variant by name, the figures of each question, in the same order."""


class InProcessShards(WorkerHandle):
    """The index process, within this process: messages have the same format, and the shards answer at once."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._unanswered = {}
        self._ended = False

    @classmethod
    async def start(
        cls, folder: Path, dimensions: int, hnsw_threshold: int, lock: int, *, background: bool = False
    ) -> "InProcessShards":
        del lock, background
        return cls(Shards(folder, dimensions, hnsw_threshold))

    @property
    def exited(self) -> bool:
        return self._ended

    async def request(
        self, operation: str, vectors: Iterable[Vector] = (), *, seconds: float | None = None, **arguments: Any
    ) -> Any:
        del seconds
        await anyio.lowlevel.checkpoint()
        message = pack(arguments, vectors)
        received, floats = unpack(message[: HEADER.size], message[HEADER.size :])
        more: dict[str, array[float]] = {"floats": floats} if operation in {"put", "search"} else {}
        return getattr(self._shards, operation)(**received, **more)

    async def search(self, vectors: Iterable[Vector], **arguments: Any) -> NumberedAnswers:
        found: NumberedAnswers = await self.request("search", vectors, **arguments)
        return found

    async def put(self, kind: ItemKind, entries: Iterable[Entry], *, first: float | None, each: float | None) -> None:
        del first, each
        for batch in write_batches(entries):
            part = put_request(kind, batch)
            await self.request(part.operation, part.vectors, **part.arguments)

    async def drop(self, kind: ItemKind, items: Sequence[str], *, first: float | None, each: float | None) -> None:
        del first, each
        await self.request("drop", kind=kind, items=items)

    async def stop(self) -> None:
        await self.kill()

    async def kill(self) -> None:
        if not self._ended:
            self._ended = True
            del self._shards


class Index(EdgeIndex):
    """The embedded index. It keeps the lanes of the current question and transforms them for each variant."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, NO_GRAPH)
        self.transform: Transform = unchanged
        self._answers: dict[tuple[int, int], list[Lanes]] = {}

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        """Return a question's lanes. Between variants only its sentences and the limit differ, which are the key."""
        key = (len(questions), limit)
        if key not in self._answers:
            self._answers[key] = await super().search(kind, questions, where, limit)
        return [self.transform(lanes, limit) for lanes in self._answers[key]]

    def next_question(self) -> None:
        """Drop the lanes of the current question."""
        self._answers.clear()


class Embedder(FastEmbedder):
    """The home's embedder, which embeds a question once for all variants."""

    def __init__(self, home: Path) -> None:
        super().__init__(DEFAULT_MODEL, home)
        self._kept: dict[str, Vector] = {}

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        new = [text for text in texts if text not in self._kept]
        self._kept.update(zip(new, await super().queries(new), strict=True))
        return [self._kept[text] for text in texts]


async def ablate(plan: Plan, home: Path) -> Figures:
    """Return the figures of the product, of its lanes alone, and of each variant that applies to the plan."""
    figures: Figures = {}
    shared = [variant for variant in (FULL, *LANES, *RANKING) if variant.applies_to(tools=plan.tools)]
    with TemporaryDirectory(prefix="memos-bench-") as folder:
        await copy_home(home, Path(folder))
        async with opened(Path(folder)) as database:  # keeps its Postgres running between the variants
            marks = await database.marks([*plan.lines, *plan.namespaces], tools=plan.tools)
            embedder = Embedder(Path(folder))
            figures |= await ask_all(plan, Path(folder), embedder, marks, shared)
            for variant in INDEX:
                if variant.applies_to(tools=plan.tools):
                    print(f"  {variant.name} …", flush=True)
                    figures |= await ask_all(plan, Path(folder), embedder, marks, [variant])
    return figures


async def copy_home(home: Path, target: Path) -> None:
    """Copy a home's Postgres, which must not be in use, and link its model."""
    await EmbeddedPostgres(home / "postgres").clear_up()
    if (home / "postgres" / "data" / "postmaster.pid").exists():
        raise SystemExit(f"{home} is in use: stop its engine first")
    shutil.copytree(home / "postgres", target / "postgres")
    for original in (home / "postgres").rglob("*"):  # root's server runs as another user, who keeps owning the files
        owner = original.stat()
        os.chown(target / original.relative_to(home), owner.st_uid, owner.st_gid)
    (target / "models").symlink_to((home / "models").absolute())


async def ask_all(
    plan: Plan, home: Path, embedder: Embedder, marks: Mapping[str, str], variants: Sequence[Variant]
) -> Figures:
    """Ask all headline questions of variants that share an index, the one that the first variant builds."""
    figures: Figures = {variant.name: [] for variant in variants}
    with variants[0].applied(), TemporaryDirectory(prefix="memos-bench-") as folder:
        index = Index(Path(folder))
        async with indexed(home, index, embedder) as app:
            for question in plan.questions:
                index.next_question()
                for variant in variants if question.headline else ():
                    index.transform = variant.transform
                    with variant.applied():
                        ranked = await answer(app, plan, question, marks)
                    figures[variant.name].append(measure(ranked, question.gold))
    return figures


@asynccontextmanager
async def indexed(home: Path, index: Index, embedder: Embedder) -> AsyncIterator[App]:
    """Yield the product once everything is indexed."""
    settings = Settings(home=home, index_wait_seconds=0)
    with patch("memos_mcp.qdrant.edge.launcher.WorkerHandle", InProcessShards):
        app = compose(settings, Database(EmbeddedPostgres(home / "postgres")), index, embedder)
        async with running(app):
            with anyio.fail_after(READY_SECONDS):
                await app.indexer.wait_until_idle()
            if queued := sum((await app.queue.state()).depth.values()):
                raise SystemExit(f"{queued} items could not be indexed")
            yield app


async def answer(app: App, plan: Plan, question: Question, marks: Mapping[str, str]) -> list[str]:
    """Ask one question, as `product.py` does through the server, and return the first ids of the dataset."""
    scope, text = Scope(question.namespace, "default"), question.text[:MAX_QUERY_CHARS]
    if plan.tools:
        tools = await app.tools.discover(scope, ToolQuery((text,), limit=HITS))
        degraded, found = tools.degraded, [hit.tool.tool_id for hit in tools.hits]
    else:
        query = MemoryQuery(text, limit=MAX_MEMORIES if plan.grouped else HITS)
        memories = await app.memories.query(scope, query)
        degraded, found = memories.degraded, [marks[str(hit.memory.memory_id)] for hit in memories.hits]
    if degraded is not None:
        raise SystemExit(f"an answer was degraded: {degraded}")
    return list(plan.expand(question.namespace, found))[:HITS]


def table(plan: Plan, figures: Figures) -> Iterator[str]:
    """Yield the rows of a Markdown table: each variant's figures in percent, and their differences from the product's.

    ± is 1.96 standard errors of the mean difference of the same question's figures: a smaller difference may be chance.
    """
    names = ["nDCG@10"] if plan.tools else ["R@10", "hit@1", "hit@5"]
    product = figures[FULL.name]
    yield f"| {plan.name}, n = {len(product):,} | " + " | ".join(f"{name} | difference" for name in names) + " |"
    yield "|---|" + "---:|---:|" * len(names)
    for variant, measured in figures.items():
        cells: list[str] = []
        for name in names:
            gains = [one[name] - full[name] for one, full in zip(measured, product, strict=True)]
            cells += [f"{100 * fmean(one[name] for one in measured):.1f}", difference(gains) if any(gains) else "0"]
        yield f"| {variant} | " + " | ".join(cells) + " |"


def difference(gains: Sequence[float]) -> str:
    """Return the mean of paired differences in percentage points, and how much of it may be chance."""
    chance = 1.96 * stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    mean = round(100 * fmean(gains), 1) or 0.0  # not -0.0
    return f"{mean:+.1f} ± {100 * chance:.1f}"
