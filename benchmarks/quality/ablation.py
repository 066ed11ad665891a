"""What each part of the retrieval is worth: the same questions, asked of the product with one part taken away.

Everything is the product's own code, put together as it does that itself and asked in process, at the services below
the server. Three things differ. The index's shards are in this process, where a part of them can be replaced, and
without a graph, so that a difference is the part's and not the graph's; a question's vectors are computed once.

The home stays as it is: a copy of its Postgres is used, which holds the vectors, so that only texts that the product
does not embed have to be embedded. What changes the index has a new one; what changes the ranking alone shares the
product's, and each question is asked of all of these in turn.
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
from memos_mcp.domain.index import IndexFilter, IndexQuery, ItemKind, Lanes, Vector
from memos_mcp.domain.memory import MemoryQuery
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolQuery
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.edge.protocol import HEAD, pack, unpack
from memos_mcp.qdrant.edge.shards import Shards
from memos_mcp.qdrant.edge.worker_handle import WorkerHandle
from memos_mcp.services.search import MAX_QUERY_CHARS
from memos_mcp.settings import DEFAULT_MODEL, Settings
from quality.asking import HITS, MOST
from quality.loading import READY_SECONDS
from quality.measures import measure
from quality.plans import Plan
from quality.sets import Question
from quality.stored import opened
from quality.variants import FULL, INDEX, LANES, RANKING, Seen, Variant, whole

NO_GRAPH = 10_000_000

Figures = dict[str, list[dict[str, float]]]
"""For each variant by name, the figures of each question, in the same order."""


class ShardsHere(WorkerHandle):
    """The index process, in this one: messages take the same form, and the shards answer at once."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._ended = False

    @classmethod
    async def start(
        cls, folder: Path, dimensions: int, hnsw_threshold: int, lock: int, *, background: bool = False
    ) -> "ShardsHere":
        del lock, background
        return cls(Shards(folder, dimensions, hnsw_threshold))

    @property
    def gone(self) -> bool:
        return self._ended

    async def ask(self, operation: str, vectors: Iterable[Vector] = (), **arguments: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        message = pack(arguments, vectors)
        received, floats = unpack(message[: HEAD.size], message[HEAD.size :])
        more: dict[str, array[float]] = {"floats": floats} if operation in {"put", "search"} else {}
        return getattr(self._shards, operation)(**received, **more)

    async def stop(self) -> None:
        await self.kill()

    async def kill(self) -> None:
        if not self._ended:
            self._ended = True
            self._shards.close()


class Index(EdgeIndex):
    """The embedded index, whose answers to the last question are kept, and shown as a variant sees them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, NO_GRAPH)
        self.seen: Seen = whole
        self._answers: dict[tuple[int, int], list[Lanes]] = {}

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        """Return a question's lanes. Only its text, its sentences and the limit differ from variant to variant."""
        key = (len(questions), limit)
        if key not in self._answers:
            self._answers[key] = await super().search(kind, questions, where, limit)
        return [self.seen(lanes, limit) for lanes in self._answers[key]]

    def forget(self) -> None:
        """Begin another question."""
        self._answers.clear()


class Embedder(FastEmbedder):
    """The home's embedder, which computes a question once for all variants."""

    def __init__(self, home: Path) -> None:
        super().__init__(DEFAULT_MODEL, home)
        self._kept: dict[str, Vector] = {}

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        new = [text for text in texts if text not in self._kept]
        self._kept.update(zip(new, await super().queries(new), strict=True))
        return [self._kept[text] for text in texts]


async def ablate(plan: Plan, home: Path) -> Figures:
    """Return the figures of the product, of its lanes alone, and of each variant that has to do with the plan."""
    figures: Figures = {}
    shared = [variant for variant in (FULL, *LANES, *RANKING) if variant.fits(tools=plan.tools)]
    with TemporaryDirectory(prefix="memos-bench-") as folder:
        await copied(home, Path(folder))
        async with opened(Path(folder)) as stored:  # keeps its Postgres running from one variant to the next
            marks = await stored.marks([*plan.lines, *plan.namespaces], tools=plan.tools)
            embedder = Embedder(Path(folder))
            figures |= await asked(plan, Path(folder), embedder, marks, shared)
            for variant in INDEX:
                if variant.fits(tools=plan.tools):
                    print(f"  {variant.name} …", flush=True)
                    figures |= await asked(plan, Path(folder), embedder, marks, [variant])
    return figures


async def copied(home: Path, place: Path) -> None:
    """Copy a home's record, which nobody may be using, and lend its model."""
    await EmbeddedPostgres(home / "postgres").clear_up()
    if (home / "postgres" / "data" / "postmaster.pid").exists():
        raise SystemExit(f"{home} is in use: stop its engine first")
    shutil.copytree(home / "postgres", place / "postgres")
    for original in (home / "postgres").rglob("*"):  # root's server runs as another user, whose files these stay
        owner = original.stat()
        os.chown(place / original.relative_to(home), owner.st_uid, owner.st_gid)
    (place / "models").symlink_to((home / "models").absolute())


async def asked(
    plan: Plan, home: Path, embedder: Embedder, marks: Mapping[str, str], variants: Sequence[Variant]
) -> Figures:
    """Ask all questions that count of variants that share an index: that of the first."""
    figures: Figures = {variant.name: [] for variant in variants}
    with variants[0].applied(), TemporaryDirectory(prefix="memos-bench-") as folder:
        index = Index(Path(folder))
        async with indexed(home, index, embedder) as app:
            for question in plan.questions:
                index.forget()
                for variant in variants if question.headline else ():
                    index.seen = variant.seen
                    with variant.applied():
                        ranked = await answer(app, plan, question, marks)
                    figures[variant.name].append(measure(ranked, question.gold))
    return figures


@asynccontextmanager
async def indexed(home: Path, index: Index, embedder: Embedder) -> AsyncIterator[App]:
    """Lend the product once its index holds all there is."""
    settings = Settings(home=home, index_wait_seconds=0)
    with patch("memos_mcp.qdrant.edge.index.WorkerHandle", ShardsHere):
        app = compose(settings, Database(EmbeddedPostgres(home / "postgres")), index, embedder)
        async with running(app):
            with anyio.fail_after(READY_SECONDS):
                await app.indexer.wait_until_idle()
            if left := sum((await app.queue.state()).depth.values()):
                raise SystemExit(f"{left} items could not be indexed")
            yield app


async def answer(app: App, plan: Plan, question: Question, marks: Mapping[str, str]) -> list[str]:
    """Ask one question, as `asking.py` does through the server, and return the first of the set's ids."""
    scope, text = Scope(question.namespace, "default"), question.text[:MAX_QUERY_CHARS]
    if plan.tools:
        tools = await app.tools.discover(scope, ToolQuery((text,), limit=HITS))
        degraded, found = tools.degraded, [hit.tool.tool_id for hit in tools.hits]
    else:
        query = MemoryQuery(text, limit=MOST if plan.grouped else HITS)
        memories = await app.memories.query(scope, query)
        degraded, found = memories.degraded, [marks[str(hit.memory.memory_id)] for hit in memories.hits]
    if degraded is not None:
        raise SystemExit(f"an answer was degraded: {degraded}")
    return list(plan.expand(question.namespace, found))[:HITS]


def table(plan: Plan, figures: Figures) -> Iterator[str]:
    """Yield the rows of a Markdown table: each variant's figures in percent, and how they differ from the product's.

    ± is 1.96 standard errors of the mean difference of the same question's figures: what is within it may be chance.
    """
    names = ["nDCG@10"] if plan.tools else ["R@10", "hit@1", "hit@5"]
    product = figures[FULL.name]
    yield f"| {plan.name}, n = {len(product):,} | " + " | ".join(f"{name} | difference" for name in names) + " |"
    yield "|---|" + "---:|---:|" * len(names)
    for variant, every in figures.items():
        cells: list[str] = []
        for name in names:
            gains = [one[name] - full[name] for one, full in zip(every, product, strict=True)]
            cells += [f"{100 * fmean(one[name] for one in every):.1f}", difference(gains) if any(gains) else "0"]
        yield f"| {variant} | " + " | ".join(cells) + " |"


def difference(gains: Sequence[float]) -> str:
    """Return the mean of paired differences in points of a percent, and how much of it may be chance."""
    chance = 1.96 * stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    mean = round(100 * fmean(gains), 1) or 0.0  # not -0.0
    return f"{mean:+.1f} ± {100 * chance:.1f}"
