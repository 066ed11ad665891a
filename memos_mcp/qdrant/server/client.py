"""The requests to a Qdrant server, on its own client.

Importing this takes the 1.5 s of `qdrant_client`, so `index.py` imports it in a worker thread.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from anyio.to_thread import run_sync
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException
from qdrant_edge import SparseVector

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import FIELDS, IndexFilter, IndexQuery, ItemKind, SequenceRange, Shape, Vector
from memos_mcp.qdrant.bm25 import WordVectors
from memos_mcp.qdrant.lanes import LaneQuery, PointRow
from memos_mcp.qdrant.points import (
    BM25,
    DENSE,
    EF_CONSTRUCT,
    ITEM,
    NAMESPACE,
    PAGE,
    PASSAGE,
    RESULT_FIELDS,
    SEQUENCE,
    SPARSE_FULL_SCAN,
    STATE_FIELDS,
    M,
    Point,
    fields_of,
)

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 5
UNREACHABLE: Final = "The search index cannot be reached. Repeat the call later."
BAD_ADDRESS: Final = "MEMOS_QDRANT_URL is not an address. Use the form http://host:6333."


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `IndexUnavailable` for the client's errors, and log them."""
    try:
        yield
    except (ApiException, QdrantException, OSError) as error:
        logger.warning("The Qdrant server did not answer as expected: %s: %s", type(error).__name__, error)
        raise IndexUnavailable(UNREACHABLE) from error


def connect(url: str, api_key: str | None) -> "ServerClient":
    """Return a client that connects with its first request. Blocks while it reads certificates."""
    try:
        with translate_errors():
            client = AsyncQdrantClient(url=url, api_key=api_key, timeout=TIMEOUT_SECONDS, check_compatibility=False)
    except ValueError:
        # The client's error quotes the address, which may contain a password.
        logger.warning("the address of the Qdrant server cannot be used")
        raise IndexUnavailable(BAD_ADDRESS) from None
    return ServerClient(client)


class ServerClient:
    """Requests to a Qdrant server, by the names of collections or aliases."""

    def __init__(self, client: AsyncQdrantClient) -> None:
        self._client = client
        self._words = WordVectors()

    async def version(self) -> str:
        with translate_errors():
            return (await self._client.info()).version

    async def aliases(self) -> dict[str, str]:
        """Return the collection behind each alias."""
        with translate_errors():
            found = await self._client.get_aliases()
        return {alias.alias_name: alias.collection_name for alias in found.aliases}

    async def collections(self) -> list[str]:
        with translate_errors():
            found = await self._client.get_collections()
        return [collection.name for collection in found.collections]

    async def about(self, collection: str) -> Mapping[str, Any]:
        """Return the metadata that the collection was created with."""
        with translate_errors():
            info = await self._client.get_collection(collection)
        return info.config.metadata or {}

    async def create(self, collection: str, kind: ItemKind, shape: Shape, about: Mapping[str, Any]) -> None:
        """Create an empty collection with its payload indexes. The server builds its graph as points are added."""
        with translate_errors():
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
        """Make each alias name its collection, all in one step."""
        operations = [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))
            for alias, collection in collections.items()
        ]
        with translate_errors():
            await self._client.update_collection_aliases(operations)

    async def delete_collection(self, collection: str) -> None:
        with translate_errors():
            await self._client.delete_collection(collection)

    async def upsert(self, kind: ItemKind, collection: str, points: Sequence[Point]) -> None:
        structs = await run_sync(self._structs, kind, points)
        with translate_errors():
            await self._client.upsert(collection, structs, wait=True)

    async def delete(self, collection: str, items: Sequence[UUID], from_passage: int = 0) -> None:
        """Delete these items' points from this passage on."""
        must: list[models.Condition] = [_of(items)]
        if from_passage:
            must.append(_in_range(PASSAGE, models.Range(gte=from_passage)))
        with translate_errors():
            await self._client.delete(collection, models.FilterSelector(filter=models.Filter(must=must)), wait=True)

    async def nearest(self, collection: str, queries: Sequence[LaneQuery], where: IndexFilter) -> list[list[PointRow]]:
        """Return the points nearest to each query, best first; one request for all."""
        requests = [_query_request(query, where) for query in queries]
        with translate_errors():
            answers = await self._client.query_batch_points(collection, requests)
        return [
            [(*fields_of(point.payload, RESULT_FIELDS), point.score) for point in answer.points] for answer in answers
        ]

    async def rows(self, collection: str, of: Sequence[UUID] | SequenceRange) -> AsyncIterator[list[list[Any]]]:
        """Yield the `STATE_FIELDS` of the points of these items, page by page."""
        offset = None
        while True:
            with translate_errors():
                records, offset = await self._client.scroll(
                    collection,
                    models.Filter(must=[_of(of)]),
                    limit=PAGE,
                    offset=offset,
                    with_payload=list(STATE_FIELDS),
                    with_vectors=False,
                )
            yield [fields_of(record.payload, STATE_FIELDS) for record in records]
            if offset is None:
                return

    async def count(self, collection: str, of: SequenceRange, *, first_passages_only: bool = False) -> int:
        """Return how many points the items in this range have."""
        must = [_of(of), *([_in_range(PASSAGE, models.Range(lte=0))] if first_passages_only else [])]
        with translate_errors():
            return (await self._client.count(collection, count_filter=models.Filter(must=must), exact=True)).count

    async def close(self) -> None:
        with translate_errors():
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

    def question_vectors(
        self, questions: Sequence[IndexQuery], *, dense: bool
    ) -> list[tuple[Vector | None, SparseVector]]:
        """Return the dense vector, if wanted, and the sparse vector of each question."""
        return [(one.vector if dense else None, self._words.question(one.text)) for one in questions]


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
        (SEQUENCE, integer),
        *((field, keyword) for field in FIELDS[kind].words),
        *((field, number) for field in FIELDS[kind].numbers),
    ]


def _query_request(query: LaneQuery, where: IndexFilter) -> models.QueryRequest:
    params = None
    vector: list[float] | models.SparseVector
    if query.lane == BM25:
        vector = _sparse(query.vector)
        # The corpus makes a word's weight depend on its own namespace only: other namespaces do not change it, and
        # it reveals nothing of them.
        corpus = models.Filter(must=[_has_word(NAMESPACE, where.namespace)])
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
    else:
        vector = [float(value) for value in query.vector]
    return models.QueryRequest(
        query=vector,
        using=query.lane,
        filter=models.Filter(must=[_one_of(query.items)]) if query.items else _filter(where),
        params=params,
        limit=query.limit,
        with_payload=list(RESULT_FIELDS),
    )


def _filter(where: IndexFilter) -> models.Filter:
    must: list[models.Condition] = [_has_word(NAMESPACE, where.namespace)]
    must += [_has_word(field, word) for field, words in where.has_all.items() for word in words]
    must += [_in_range(field, models.Range(gte=number)) for field, number in where.at_least.items()]
    must += [_in_range(field, models.Range(lte=number)) for field, number in where.at_most.items()]
    # An empty `except` list matches any word, so it admits only items without the field.
    must_not: list[models.Condition] = [
        models.FieldCondition(key=field, match=models.MatchExcept.model_validate({"except": list(words)}))
        for field, words in where.subset_of.items()
    ]
    must_not += [_in_range(field, models.Range(lte=number)) for field, number in where.not_expired_by.items()]
    return models.Filter(must=must, must_not=must_not)


def _of(items: Sequence[UUID] | SequenceRange) -> models.FieldCondition:
    if isinstance(items, SequenceRange):
        return _in_range(SEQUENCE, models.Range(gte=items.first, lte=items.last))
    return _one_of([str(item) for item in items])


def _one_of(items: Sequence[str]) -> models.FieldCondition:
    return models.FieldCondition(key=ITEM, match=models.MatchAny(any=list(items)))


def _has_word(field: str, word: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=word))


def _in_range(field: str, bounds: models.Range) -> models.FieldCondition:
    return models.FieldCondition(key=field, range=bounds)


def _sparse(words: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=words.indices, values=words.values)
