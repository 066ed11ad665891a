"""The Qdrant Edge shards of one generation: one per kind, so that BM25 weighs words among items of one kind only.

Imported by the index process only. Every call of `qdrant_edge` 0.9 holds the interpreter lock until it returns.
Measured with 60,000 points of 384 dimensions, 9 payload indexes and BM25 vectors on 2 cores, as the longest pause of
another thread: load 470-540 ms, flush 34 ms after 64 points and 430 ms after 60,000, close 220 ms, upsert of 64 points
4-20 ms and of 500 up to 155 ms, BM25 query in a namespace up to 72 ms, scroll in one go 280 ms, facet of all items
2.2 s, optimize 25-148 s. So these calls are made in a process without an event loop.
"""

import json
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import qdrant_edge as edge

from memos_mcp.domain.index import FIELDS, ITEM_KINDS, ItemKind
from memos_mcp.qdrant.bm25 import WordVectors, share_of
from memos_mcp.qdrant.edge.conditions import has_word, in_range, one_of
from memos_mcp.qdrant.edge.contents import ShardContents
from memos_mcp.qdrant.edge.shard_search import search_shard
from memos_mcp.qdrant.lanes import NumberedAnswers, numbered
from memos_mcp.qdrant.points import (
    BM25,
    DENSE,
    EF_CONSTRUCT,
    ITEM,
    NAMESPACE,
    PAGE,
    PASSAGE,
    SEQUENCE,
    SPARSE_FULL_SCAN,
    STATE_FIELDS,
    M,
    fields_of,
)

FULL_SCAN_KB: Final = 10_000
"""Size of the filtered vectors up to which an exact scan replaces the graph: Qdrant's default, 6,600 of 384 floats."""

GRAPH: Final = "graph"
OUTSIDE: Final = "outside"
"""A payload field and its only value: marks points that were written after the graph was built.

Edge's own count of indexed vectors does not serve: it includes sparse ones, and those of replaced points for ever.
"""

_OUTSIDE: Final = edge.Filter(must=[has_word(GRAPH, OUTSIDE)])

GRAPHS: Final = "graphs.json"
"""In a generation's folder, the kinds that have a graph, with the number of points it was built from."""

MAPPED: Final = edge.Memory.Cached
"""Files that are mapped, and read ahead into the page cache. What Edge copies into memory of its own instead is read
again at every start: 200,000 points were loaded in 2.4 s instead of 0.1, and searched no faster."""

MAX_STALE_SHARE: Final = 0.05
"""Stale points, as a share of all, up to which they are counted: they change the weight of a word by 0.05 at most."""

FLUSH_POINTS: Final = 2_000
"""Written points after which shards are flushed: after 1,000 it takes 30 ms, after 2,000 40 ms, after 60,000 430."""


class Shards:
    """A generation's shards, written and read by one thread; the interpreter lock would not allow more."""

    def __init__(self, folder: Path, dimensions: int, hnsw_threshold: int) -> None:
        self._folder = folder
        self._dimensions = dimensions
        self._hnsw_threshold = hnsw_threshold
        self._words = WordVectors()
        self._shards: dict[ItemKind, edge.EdgeShard] = {}
        self._graphs: dict[ItemKind, int] = {}
        self._contents = {kind: ShardContents() for kind in ITEM_KINDS}
        self._few_stale: dict[ItemKind, bool] = {}
        self._unflushed: Counter[ItemKind] = Counter()

    @property
    def dirty(self) -> bool:
        """Whether anything was written since the last flush."""
        return self._unflushed.total() > 0

    @property
    def all_read(self) -> bool:
        """Whether there is nothing more to read ahead."""
        return all(contents.all_read for contents in self._contents.values())

    def read_ahead(self) -> None:
        """Read a page of what searches need of the points that they find."""
        for kind, contents in self._contents.items():
            if not contents.all_read:
                contents.read_ahead(self._shards[kind])
                return

    def ping(self) -> None:
        """Do nothing: the answer shows that the process reads its requests."""

    def create(self) -> None:
        """Create empty shards with their payload indexes."""
        for kind in ITEM_KINDS:
            self._create(kind)

    def load(self) -> None:
        """Open the existing shards. What was not flushed is read from their write-ahead logs.

        A kind that the generation lacks, since an older version has built it, is filled from the record.
        """
        for kind in ITEM_KINDS:
            if (self._folder / kind).exists():
                self._shards[kind] = edge.EdgeShard.load(str(self._folder / kind))
                self._contents[kind].load(self._shards[kind])
            else:
                self._create(kind)
        if (self._folder / GRAPHS).exists():
            self._graphs = json.loads((self._folder / GRAPHS).read_text())

    def put(
        self,
        kind: ItemKind,
        texts: Sequence[str],
        points: Sequence[Sequence[Any]],
        complete: Mapping[str, Sequence[str]],
        floats: "array[float]",
    ) -> None:
        """Upsert points, then delete the stale ones of `complete` items: those from their number of passages on.

        A point is its id, its payload and the numbers and weights of the texts that find it.

        In this order a crash in between leaves an item with passages of two versions, which `rows` reveals.
        """
        late = {GRAPH: OUTSIDE} if kind in self._graphs else None
        upserts = [
            edge.Point(
                id=point,
                vector={
                    DENSE: self._vector(floats, number).tolist(),
                    BM25: self._words.passage(
                        kind,
                        [(texts[text], weight) for text, weight in weights],
                        share_of(self._vector(floats, number)),
                    ),
                },
                payload=payload | late if late else payload,
            )
            for number, (point, payload, weights) in enumerate(points)
        ]
        if upserts:
            with self._contents[kind].writing([(point, payload) for point, payload, _ in points]):
                self._update(kind, edge.UpdateOperation.upsert_points(upserts), len(upserts))
        for count, items in complete.items():
            stale = in_range(PASSAGE, edge.RangeFloat(gte=float(count)))
            self._delete(kind, edge.Filter(must=[one_of(items), stale]), 1)  # usually nothing is stale

    def drop(self, kind: ItemKind, items: Sequence[str]) -> None:
        """Delete all points of these items."""
        self._delete(kind, edge.Filter(must=[one_of(items)]), len(items))

    def search(
        self, kind: ItemKind, texts: Sequence[str], where: Mapping[str, Any], limit: int, floats: "array[float]"
    ) -> NumberedAnswers:
        """Return what the questions find. There are as many vectors as texts, or none."""
        questions = [
            (self._vector(floats, number).tolist() if floats else None, self._words.question(text))
            for number, text in enumerate(texts)
        ]
        contents = self._contents[kind]
        weighted = contents.only(where["namespace"]) and self._has_few_stale_points(kind)
        return numbered(search_shard(self._shards[kind], contents, questions, where, limit, weighted=weighted))

    def _has_few_stale_points(self, kind: ItemKind) -> bool:
        """Whether the weights of words hardly depend on replaced points, which count until the graph is built again."""
        if kind not in self._few_stale:  # to ask takes 0.06 ms
            info = self._shards[kind].info()
            stale = info.indexed_vectors_count - self._graphs.get(kind, 0) - info.points_count
            self._few_stale[kind] = stale <= MAX_STALE_SHARE * info.points_count
        return self._few_stale[kind]

    def rows(
        self, kind: ItemKind, offset: str | None, items: Sequence[str] = (), between: tuple[int, int] | None = None
    ) -> tuple[list[list[Any]], str | None]:
        """Return the `STATE_FIELDS` of a page of the points of these items or numbers, and the next page's offset."""
        records, next_offset = self._shards[kind].scroll(
            edge.ScrollRequest(
                offset=None if offset is None else UUID(offset),
                limit=PAGE,
                filter=edge.Filter(must=[one_of(items) if between is None else _between(between)]),
                with_payload=list(STATE_FIELDS),
                with_vector=False,
            )
        )
        rows = [fields_of(record.payload, STATE_FIELDS) for record in records]
        return rows, None if next_offset is None else str(next_offset)

    def count(self, kind: ItemKind, between: tuple[int, int]) -> int:
        """Return how many points the items of these sequence numbers have."""
        return self._shards[kind].count(edge.CountRequest(exact=True, filter=edge.Filter(must=[_between(between)])))

    def counts(self) -> dict[str, list[int]]:
        """Return how many items and points each kind has."""
        # Every second, and to count all of 200,000 points or those of number 0 takes 15 and 30 ms.
        further = edge.Filter(must=[in_range(PASSAGE, edge.RangeFloat(gte=1.0))])
        counts: dict[str, list[int]] = {}
        for kind, shard in self._shards.items():
            points = shard.info().points_count
            counts[kind] = [points - shard.count(edge.CountRequest(exact=True, filter=further)), points]
        return counts

    def graph(self) -> dict[str, list[int]]:
        """Return how many points each kind has, and how many of them are in its graph."""
        counts: dict[str, list[int]] = {}
        for kind, shard in self._shards.items():
            points = shard.info().points_count
            outside = shard.count(edge.CountRequest(exact=True, filter=_OUTSIDE)) if kind in self._graphs else points
            counts[kind] = [points, points - outside]
        return counts

    def build(self) -> None:
        """Build the graph of each kind that is large enough. Blocks for seconds to minutes."""
        for kind, shard in self._shards.items():
            if shard.info().points_count > self._hnsw_threshold:
                shard.update(edge.UpdateOperation.delete_payload_by_filter(_OUTSIDE, [GRAPH]))
                shard.optimize()
                shard.flush()
                self._graphs[kind] = shard.info().points_count
                self._few_stale.pop(kind, None)
        self.flush()
        (self._folder / GRAPHS).write_text(json.dumps(self._graphs))

    def flush(self) -> None:
        """Write changes to the shards' files; until then only the write-ahead logs hold them."""
        for kind in self._unflushed:  # a flush takes 3 ms even if nothing was written
            self._shards[kind].flush()
        self._unflushed.clear()

    def _vector(self, floats: "array[float]", number: int) -> "array[float]":
        return floats[number * self._dimensions : (number + 1) * self._dimensions]

    def _delete(self, kind: ItemKind, condition: edge.Filter, count: int) -> None:
        self._update(kind, edge.UpdateOperation.delete_points_by_filter(condition), count)

    def _create(self, kind: ItemKind) -> None:
        path = self._folder / kind
        path.mkdir()
        shard = edge.EdgeShard.create(str(path), _config(self._dimensions, self._hnsw_threshold))
        for field, params in _field_indexes(kind):
            shard.update(edge.UpdateOperation.create_field_index(field, params))
        shard.flush()
        self._shards[kind] = shard

    def _update(self, kind: ItemKind, operation: edge.UpdateOperation, count: int) -> None:
        self._shards[kind].update(operation)
        self._few_stale.pop(kind, None)
        self._unflushed[kind] += count
        if self._unflushed.total() >= FLUSH_POINTS:
            self.flush()


def _between(numbers: tuple[int, int]) -> edge.FieldCondition:
    return in_range(SEQUENCE, edge.RangeFloat(gte=float(numbers[0]), lte=float(numbers[1])))


def _config(dimensions: int, hnsw_threshold: int) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimensions, distance=edge.Distance.Cosine, memory=MAPPED)},
        sparse_vectors={
            BM25: edge.EdgeSparseVectorParams(
                modifier=edge.Modifier.Idf, full_scan_threshold=SPARSE_FULL_SCAN, memory=MAPPED
            )
        },
        hnsw_config=edge.HnswIndexConfig(m=M, ef_construct=EF_CONSTRUCT, full_scan_threshold=FULL_SCAN_KB),
        # Graphs and scans read 8-bit copies of the vectors. To scan 10,000, when something else has filled the caches
        # of the processor, takes 0.4 ms instead of 1.2, and to build a graph a quarter of the processor time. Scalar
        # quantization would serve graphs only: it makes no copies of the points outside.
        quantization_config=edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits8, memory=MAPPED),
        id_tracker_memory=MAPPED,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=max(1, hnsw_threshold * dimensions * 4 // 1024)),
        # Requests are answered one at a time, and below the graph's threshold a pool costs more than it saves:
        # both lanes over 10,000 points took 3.1 ms with the default pool on 2 cores, 1.9 ms with one thread.
        max_search_threads=1,
    )


def _field_indexes(kind: ItemKind) -> list[tuple[str, Any]]:
    # Only the namespace has edges of its own in the graph: with edges for each of seven keyword fields,
    # building it for 60,000 points took 148 s instead of 25.
    keyword = edge.KeywordIndexParams(enable_hnsw=False, memory=MAPPED)
    number = edge.FloatIndexParams(enable_hnsw=False, memory=MAPPED)
    integer = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False, memory=MAPPED)
    return [
        (NAMESPACE, edge.KeywordIndexParams(is_tenant=True, memory=MAPPED)),
        (ITEM, keyword),
        (GRAPH, keyword),
        (PASSAGE, integer),
        (SEQUENCE, integer),
        *((field, keyword) for field in FIELDS[kind].words),
        *((field, number) for field in FIELDS[kind].numbers),
    ]
