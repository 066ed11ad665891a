"""The requests to a Qdrant server, on its own client.

Importing this takes the 1.5 s of `qdrant_client`, so `index.py` imports it in a worker thread.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final
from uuid import UUID

import httpx
from anyio.to_thread import run_sync
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.api_client import SendAsync
from qdrant_edge import SparseVector

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter, IndexQuery, ItemKind, SequenceRange, SettingMismatch, Shape, Vector
from memos_mcp.qdrant.bm25 import WordVectors, share_of
from memos_mcp.qdrant.lanes import LaneQuery, PointRow, found_point
from memos_mcp.qdrant.points import (
    BM25,
    DENSE,
    EF_CONSTRUCT,
    ITEM,
    NAMESPACE,
    OVERSAMPLING,
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
from memos_mcp.qdrant.server.collection_config import FieldSchema, dense_vectors, field_indexes, mismatches
from memos_mcp.qdrant.server.nodes import Nodes, translate_errors
from memos_mcp.qdrant.server.options import ServerOptions

logger = logging.getLogger(__name__)

BAD_ADDRESS: Final = "MEMOS_QDRANT_URL is not an address. Use the form http://host:6333, several with commas."
SLOW: Final = "The search index does not finish a write in time. Repeat the call later."

RESCORED: Final = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
"""Makes scores exact, because those of both lanes are added; with int8, a server does not do so by itself (1.19). A
collection without quantized vectors ignores this."""

GRACE_SECONDS: Final = 2
"""How much longer than the server itself to wait for a write, so that its own answer arrives."""


def connect(url: str, api_key: str | None, options: ServerOptions) -> "ServerClient":
    """Return a client of these comma-separated addresses that connects with its first request.

    Blocks while it reads certificates.
    """
    try:
        with translate_errors():
            clients = [_client(address.strip(), api_key, options) for address in url.split(",") if address.strip()]
    except ValueError:
        # The client's error quotes the address, which may contain a password.
        logger.warning("the address of the Qdrant server cannot be used")
        clients = []
    if not clients:
        raise IndexUnavailable(BAD_ADDRESS)
    return ServerClient(clients, options)


def _client(url: str, api_key: str | None, options: ServerOptions) -> AsyncQdrantClient:
    client = AsyncQdrantClient(url=url, api_key=api_key, timeout=options.timeout, check_compatibility=False)

    async def limit_writes(request: httpx.Request, send: SendAsync) -> httpx.Response:
        """Connect as fast for a write as for a search: only a node that is up may take its time."""
        limits = request.extensions["timeout"]
        if limits["read"] > options.timeout:
            limits |= {"connect": options.timeout, "read": limits["read"] + GRACE_SECONDS}
        return await send(request)

    client.http.client.add_middleware(limit_writes)
    return client


class ServerClient:
    """Requests to a Qdrant server, by the names of collections or aliases."""

    def __init__(self, clients: Sequence[AsyncQdrantClient], options: ServerOptions) -> None:
        self._nodes = Nodes(clients)
        self._options = options
        self._words = WordVectors()

    async def version(self) -> str:
        return (await self._nodes.ask(lambda client: client.info())).version

    async def aliases(self) -> dict[str, str]:
        """Return the collection behind each alias."""
        found = await self._nodes.ask(lambda client: client.get_aliases())
        return {alias.alias_name: alias.collection_name for alias in found.aliases}

    async def collections(self) -> list[str]:
        found = await self._nodes.ask(lambda client: client.get_collections())
        return [collection.name for collection in found.collections]

    async def about(self, collection: str) -> Mapping[str, Any]:
        """Return the metadata that the collection was created with."""
        return (await self._config(collection)).metadata or {}

    async def mismatches(self, kind: ItemKind, collection: str) -> Sequence[SettingMismatch]:
        """Return the settings that the collection was created without."""
        return mismatches(kind, await self._config(collection), self._options)

    async def create(self, collection: str, kind: ItemKind, shape: Shape, about: Mapping[str, Any]) -> None:
        """Create an empty collection with its payload indexes. The server builds its graph as points are added."""
        sparse = models.SparseVectorParams(
            modifier=models.Modifier.IDF, index=models.SparseIndexParams(full_scan_threshold=SPARSE_FULL_SCAN)
        )
        await self._nodes.ask(
            lambda client: client.create_collection(
                collection,
                vectors_config={DENSE: dense_vectors(shape, self._options)},
                sparse_vectors_config={BM25: sparse},
                shard_number=self._options.shards,
                replication_factor=self._options.replicas,
                write_consistency_factor=self._options.write_consistency,
                hnsw_config=models.HnswConfigDiff(m=M, ef_construct=EF_CONSTRUCT),
                metadata=dict(about),
                timeout=self._options.collection_timeout,
            )
        )
        for field, schema in field_indexes(kind):
            await self._create_field_index(collection, field, schema)

    async def point_aliases(self, collections: Mapping[str, str]) -> None:
        """Make each alias name its collection, all in one step."""
        operations = [
            models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=collection, alias_name=alias))
            for alias, collection in collections.items()
        ]
        timeout = self._options.collection_timeout
        await self._nodes.ask(lambda client: client.update_collection_aliases(operations, timeout=timeout))

    async def delete_aliases(self, aliases: Sequence[str]) -> None:
        operations = [models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=one)) for one in aliases]
        timeout = self._options.collection_timeout
        await self._nodes.ask(lambda client: client.update_collection_aliases(operations, timeout=timeout))

    async def delete_collection(self, collection: str) -> None:
        timeout = self._options.collection_timeout
        await self._nodes.ask(lambda client: client.delete_collection(collection, timeout=timeout))

    async def upsert(self, kind: ItemKind, collection: str, points: Sequence[Point]) -> None:
        structs = await run_sync(self._structs, kind, points)
        timeout = self._options.write_timeout
        await self._write(lambda client: client.upsert(collection, structs, wait=True, timeout=timeout))

    async def delete(self, collection: str, items: Sequence[UUID], from_passage: int = 0) -> None:
        """Delete these items' points from this passage on."""
        must: list[models.Condition] = [_of(items)]
        if from_passage:
            must.append(_in_range(PASSAGE, models.Range(gte=from_passage)))
        points = models.FilterSelector(filter=models.Filter(must=must))
        timeout = self._options.write_timeout
        await self._write(lambda client: client.delete(collection, points, wait=True, timeout=timeout))

    async def nearest(self, collection: str, queries: Sequence[LaneQuery], where: IndexFilter) -> list[list[PointRow]]:
        """Return the points nearest to each query, best first; one request for all."""
        requests = [_query_request(query, where) for query in queries]
        timeout = self._options.timeout
        answers = await self._nodes.ask(lambda client: client.query_batch_points(collection, requests, timeout=timeout))
        return [[(found_point(point.payload), point.score) for point in answer.points] for answer in answers]

    async def rows(self, collection: str, of: Sequence[UUID] | SequenceRange) -> AsyncIterator[list[list[Any]]]:
        """Yield the `STATE_FIELDS` of the points of these items, page by page."""
        offset = None
        while True:
            records, offset = await self._nodes.ask(partial(_page, collection, of, offset))
            yield [fields_of(record.payload, STATE_FIELDS) for record in records]
            if offset is None:
                return

    async def count(self, collection: str, of: SequenceRange, *, first_passages_only: bool = False) -> int:
        """Return how many points the items in this range have."""
        must = [_of(of), *([_in_range(PASSAGE, models.Range(lte=0))] if first_passages_only else [])]
        condition = models.Filter(must=must)
        return (await self._nodes.ask(lambda client: client.count(collection, condition, exact=True))).count

    async def close(self) -> None:
        await self._nodes.close()

    async def _write(self, request: Callable[[AsyncQdrantClient], Awaitable[models.UpdateResult]]) -> None:
        """Send a write. The server reports one that it has only logged in time as a success, but no search finds it."""
        if (await self._nodes.ask(request)).status == models.UpdateStatus.WAIT_TIMEOUT:
            raise IndexUnavailable(SLOW)

    async def _config(self, collection: str) -> models.CollectionConfig:
        return (await self._nodes.ask(lambda client: client.get_collection(collection))).config

    async def _create_field_index(self, collection: str, field: str, schema: FieldSchema) -> None:
        timeout = self._options.collection_timeout
        await self._nodes.ask(lambda client: client.create_payload_index(collection, field, schema, timeout=timeout))

    def _structs(self, kind: ItemKind, points: Sequence[Point]) -> list[models.PointStruct]:
        return [
            models.PointStruct(
                id=str(point.id),
                payload=dict(point.payload),
                vector={
                    DENSE: point.vector.tolist(),
                    BM25: _sparse(self._words.passage(kind, point.weighted_texts, share_of(point.vector.tobytes()))),
                },
            )
            for point in points
        ]

    def question_vectors(
        self, questions: Sequence[IndexQuery], *, dense: bool
    ) -> list[tuple[Vector | None, SparseVector]]:
        """Return the dense vector, if wanted, and the sparse vector of each question."""
        return [(one.vector if dense else None, self._words.question(one.text)) for one in questions]


async def _page(
    collection: str,
    of: Sequence[UUID] | SequenceRange,
    offset: models.ExtendedPointId | None,
    client: AsyncQdrantClient,
) -> tuple[list[models.Record], models.ExtendedPointId | None]:
    condition = models.Filter(must=[_of(of)])
    return await client.scroll(
        collection, condition, limit=PAGE, offset=offset, with_payload=list(STATE_FIELDS), with_vectors=False
    )


def _query_request(query: LaneQuery, where: IndexFilter) -> models.QueryRequest:
    vector: list[float] | models.SparseVector
    if query.lane == BM25:
        vector = _sparse(query.vector)
        # The corpus makes a word's weight depend on its own namespace only: other namespaces do not change it, and
        # it reveals nothing of them.
        corpus = models.Filter(must=[_has_word(NAMESPACE, where.namespace)])
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus))
    else:
        vector = query.vector.tolist()
        params = models.SearchParams(quantization=RESCORED)
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
