"""What goes to a Qdrant server and comes back: the only place that knows its client.

Importing this costs the 1.5 s of `qdrant_client`, so it is imported in a worker thread, by `server.py`.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from anyio.to_thread import run_sync
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException
from qdrant_edge import SparseVector

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import FIELDS, IndexFilter, IndexQuery, ItemKind, Shape
from memos_mcp.qdrant.bm25 import WordVectors
from memos_mcp.qdrant.points import (
    BM25,
    DENSE,
    EF_CONSTRUCT,
    ITEM,
    NAMESPACE,
    PAGE,
    PASSAGE,
    PASSAGES,
    SPARSE_FULL_SCAN,
    TOLD,
    VERSION,
    M,
    Point,
    Row,
    told,
)

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5
UNREACHABLE: Final = "The search index cannot be reached. Repeat the call later."
BAD_ADDRESS: Final = "MEMOS_QDRANT_URL is not an address. Use the form http://host:6333."


@contextmanager
def translated() -> Iterator[None]:
    """Turn whatever the client raises into `IndexUnavailable`; the cause goes to the log."""
    try:
        yield
    except (ApiException, QdrantException, OSError) as error:
        logger.warning("The Qdrant server did not answer as it should: %s: %s", type(error).__name__, error)
        raise IndexUnavailable(UNREACHABLE) from error


def connect(url: str, api_key: str | None) -> "ServerClient":
    """Return a connection that is made with the first request. Reads certificates: not for the event loop."""
    try:
        with translated():
            client = AsyncQdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_SECONDS, check_compatibility=False)
    except ValueError:
        # The client's text quotes the address, which may hold a password.
        logger.warning("the address of the Qdrant server cannot be used")
        raise IndexUnavailable(BAD_ADDRESS) from None
    return ServerClient(client)


@dataclass(frozen=True, slots=True)
class Ask:
    """What one lane is asked for the sake of one question, of all that `where` admits or `among` these items only."""

    question: int
    lane: str
    vector: list[float] | models.SparseVector
    where: IndexFilter
    among: Sequence[str] = ()


class ServerClient:
    """Requests to a Qdrant server, by the names of collections or aliases."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client
        self._words = WordVectors()

    async def aliases(self) -> dict[str, str]:
        """Return the collection behind each alias."""
        with translated():
            found = await self._client.get_aliases()
        return {alias.alias_name: alias.collection_name for alias in found.aliases}

    async def collections(self) -> list[str]:
        with translated():
            found = await self._client.get_collections()
        return [collection.name for collection in found.collections]

    async def about(self, collection: str) -> Mapping[str, Any]:
        """Return what was noted down when the collection was created."""
        with translated():
            info = await self._client.get_collection(collection)
        return info.config.metadata or {}

    async def create(self, collection: str, kind: ItemKind, shape: Shape, about: Mapping[str, Any]) -> None:
        """Make an empty collection with its payload indexes; the server builds its graph itself, as points come."""
        with translated():
            await self._client.create_collection(
                collection,
                vectors_config={DENSE: models.VectorParams(size=shape.dimensions, distance=models.Distance.COSINE)},
                sparse_vectors_config={
                    BM25: models.SparseVectorParams(
                        modifier=models.Modifier.IDF,
                        index=models.SparseIndexParams(full_scan_threshold=SPARSE_FULL_SCAN),
                    )
                },
                hnsw_config=models.HnswConfigDiff(m=M, ef_construct=EF_CONSTRUCT),
                metadata=dict(about),
            )
            for field, schema in _field_indexes(kind):
                await self._client.create_payload_index(collection, field, schema)

    async def point_aliases(self, collections: Mapping[str, str]) -> None:
        """Let each alias name its collection, all in one step."""
        operations = [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))
            for alias, collection in collections.items()
        ]
        with translated():
            await self._client.update_collection_aliases(operations)

    async def delete_collection(self, collection: str) -> None:
        with translated():
            await self._client.delete_collection(collection)

    async def upsert(self, kind: ItemKind, collection: str, points: Sequence[Point]) -> None:
        structs = await run_sync(self._structs, kind, points)
        with translated():
            await self._client.upsert(collection, structs, wait=True)

    async def delete(self, collection: str, items: Sequence[UUID], from_passage: int = 0) -> None:
        """Remove these items' points from this passage on."""
        must: list[models.Condition] = [_any([str(item) for item in items])]
        if from_passage:
            must.append(_bound(PASSAGE, models.Range(gte=from_passage)))
        with translated():
            await self._client.delete(collection, models.FilterSelector(filter=models.Filter(must=must)), wait=True)

    async def nearest(self, collection: str, asks: Sequence[tuple[Ask, int]]) -> list[list[Row]]:
        """Return the points nearest to each, best first, up to the number given with it; one request for all."""
        if not asks:
            return []
        requests = [_request(ask, limit) for ask, limit in asks]
        with translated():
            answers = await self._client.query_batch_points(collection, requests)
        return [[(*told(point.payload), point.score) for point in answer.points] for answer in answers]

    async def rows(self, collection: str) -> AsyncIterator[list[tuple[str, int, int]]]:
        """Yield item, version and number of passages of all points, page by page."""
        offset = None
        while True:
            with translated():
                records, offset = await self._client.scroll(
                    collection,
                    limit=PAGE,
                    offset=offset,
                    with_payload=[ITEM, VERSION, PASSAGES],
                    with_vectors=False,
                )
            payloads = [record.payload or {} for record in records]
            yield [(payload[ITEM], payload[VERSION], payload[PASSAGES]) for payload in payloads]
            if offset is None:
                return

    async def count(self, collection: str, *, first_passages_only: bool) -> int:
        condition = models.Filter(must=[_bound(PASSAGE, models.Range(lte=0))]) if first_passages_only else None
        with translated():
            return (await self._client.count(collection, count_filter=condition, exact=True)).count

    async def close(self) -> None:
        with translated():
            await self._client.close()

    def _structs(self, kind: ItemKind, points: Sequence[Point]) -> list[models.PointStruct]:
        return [
            models.PointStruct(
                id=str(point.id),
                payload=dict(point.payload),
                vector={
                    DENSE: [float(value) for value in point.vector],
                    BM25: _sparse(self._words.passage(kind, point.weighted_texts)),
                },
            )
            for point in points
        ]

    def asks(self, questions: Sequence[IndexQuery], where: IndexFilter, *, dense: bool) -> list[Ask]:
        """Return what each question asks of each lane; of the words' lane nothing when no word is left of it."""
        asks = []
        for number, question in enumerate(questions):
            if dense and question.vector is not None:
                asks.append(Ask(number, DENSE, [float(value) for value in question.vector], where))
            words = self._words.question(question.text)
            if words.indices:
                asks.append(Ask(number, BM25, _sparse(words), where))
        return asks


def _field_indexes(kind: ItemKind) -> list[tuple[str, models.PayloadSchemaType | models.PayloadSchemaParams]]:
    keyword = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, enable_hnsw=False)
    number = models.FloatIndexParams(type=models.FloatIndexType.FLOAT, enable_hnsw=False)
    integer = models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    )
    return [
        (NAMESPACE, models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)),
        (ITEM, keyword),
        (PASSAGE, integer),
        *((field, keyword) for field in FIELDS[kind].words),
        *((field, number) for field in FIELDS[kind].numbers),
    ]


def _request(ask: Ask, limit: int) -> models.QueryRequest:
    params = None
    if ask.lane == BM25:
        # A word's weight is a matter of its own namespace: others' texts neither blunt nor betray it.
        corpus = models.Filter(must=[_word(NAMESPACE, ask.where.namespace)])
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
    condition = models.Filter(must=[_any(ask.among)]) if ask.among else _condition(ask.where)
    return models.QueryRequest(
        query=ask.vector, using=ask.lane, filter=condition, params=params, limit=limit, with_payload=list(TOLD)
    )


def _condition(where: IndexFilter) -> models.Filter:
    must: list[models.Condition] = [_word(NAMESPACE, where.namespace)]
    must += [_word(field, word) for field, words in where.has_all.items() for word in words]
    must += [_bound(field, models.Range(gte=number)) for field, number in where.at_least.items()]
    must += [_bound(field, models.Range(lte=number)) for field, number in where.at_most.items()]
    # `except` nothing matches any word at all, so that an empty list admits only items without the field.
    must_not: list[models.Condition] = [
        models.FieldCondition(key=field, match=models.MatchExcept.model_validate({"except": list(words)}))
        for field, words in where.subset_of.items()
    ]
    must_not += [_bound(field, models.Range(lte=number)) for field, number in where.not_expired_by.items()]
    return models.Filter(must=must, must_not=must_not)


def _any(items: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=ITEM, match=models.MatchAny(any=list(items)))


def _word(field: str, word: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=word))


def _bound(field: str, bound: models.Range) -> models.FieldCondition:
    return models.FieldCondition(key=field, range=bound)


def _sparse(words: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=words.indices, values=words.values)
