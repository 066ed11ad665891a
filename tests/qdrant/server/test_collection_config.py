"""What collections are created with, and how the report names what an existing one was created without."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from qdrant_client import AsyncQdrantClient, models

from memos_mcp.domain.index import ITEM_KINDS, IndexFilter, SettingMismatch
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import DEFAULT_OPTIONS, ServerOptions
from tests.qdrant.samples import SHAPE, dense, entry, search, vector
from tests.qdrant.server.stand_in_server import StandInServer

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")
PREFIX = "test-config"
COMPRESSED = ServerOptions(quantization="int8", on_disk=True)
UNCOMPRESSED = ServerOptions(quantization="none", on_disk=False)


async def created(options: ServerOptions) -> dict[str, Any]:
    """Return what an index sends to a server without collections, and what a draft of it sends, by path and field."""
    server = StandInServer(empty=True)
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos", options=options)
        await index.open(SHAPE)
        await index.close()
    return {
        request.path + (f" {request.content['field_name']}" if request.path.endswith("/index") else ""): request.content
        for request in server.received
        if request.content is not None
    }


def collections(contents: dict[str, Any]) -> list[dict[str, Any]]:
    found = [content for content in contents.values() if "vectors" in content]
    assert len(found) == len(ITEM_KINDS)
    return found


async def test_the_namespace_is_the_tenant_of_each_new_collection() -> None:
    contents = await created(DEFAULT_OPTIONS)
    schemas = [content["field_schema"] for path, content in contents.items() if path.endswith("/index namespace")]
    assert schemas == [{"type": "keyword", "is_tenant": True}] * len(ITEM_KINDS)


async def test_without_settings_the_server_chooses_how_collections_are_distributed_and_stored() -> None:
    for content in collections(await created(DEFAULT_OPTIONS)):
        assert content["vectors"] == {"dense": {"size": SHAPE.dimensions, "distance": "Cosine"}}
        assert content.keys() == {"vectors", "sparse_vectors", "hnsw_config", "metadata"}


async def test_a_new_collection_has_the_configured_shards_and_replicas() -> None:
    for content in collections(await created(ServerOptions(shards=6, replicas=3, write_consistency=2))):
        assert content["shard_number"] == 6
        assert content["replication_factor"] == 3
        assert content["write_consistency_factor"] == 2


async def test_original_vectors_stay_in_ram_when_they_are_configured_not_to_be_on_disk() -> None:
    for content in collections(await created(UNCOMPRESSED)):
        assert content["vectors"]["dense"]["memory"] == "cached"
        assert "quantization_config" not in content["vectors"]["dense"]


async def test_a_compressed_collection_has_int8_vectors_in_ram_and_the_original_ones_on_disk() -> None:
    for content in collections(await created(COMPRESSED)):
        assert content["vectors"]["dense"]["quantization_config"] == {"scalar": {"type": "int8", "memory": "pinned"}}
        assert content["vectors"]["dense"]["memory"] == "cold"


@pytest.mark.parametrize("options", [DEFAULT_OPTIONS, COMPRESSED], ids=["default", "compressed"])
async def test_the_dense_lane_is_scored_with_the_original_vectors(options: ServerOptions) -> None:
    server = StandInServer()
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos", options=options)
        await index.open(SHAPE)
        await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        await index.close()
    params = {query["using"]: query.get("params", {}) for query in server.received[-1].content["searches"]}
    assert params["dense"] == {"quantization": {"rescore": True, "oversampling": 2.0}}
    assert params["bm25"].keys() == {"idf"}


async def opened(client: AsyncQdrantClient, options: ServerOptions) -> ServerIndex:
    index = ServerIndex("", None, PREFIX, client, options)
    await index.open(SHAPE)
    return index


async def test_the_server_has_the_namespace_as_tenant(any_client: AsyncQdrantClient) -> None:
    await opened(any_client, DEFAULT_OPTIONS)
    for kind in ITEM_KINDS:
        schema = (await any_client.get_collection(f"{PREFIX}_{kind}")).payload_schema
        if schema:  # the local mode has none
            params = schema["namespace"].params
            assert isinstance(params, models.KeywordIndexParams)
            assert params.is_tenant


async def test_the_report_names_what_existing_collections_were_created_without(any_client: AsyncQdrantClient) -> None:
    await opened(any_client, UNCOMPRESSED)
    report = await (await opened(any_client, COMPRESSED)).report()
    assert report.mismatches == [
        SettingMismatch(kind, setting, found, configured)
        for kind in ITEM_KINDS
        for setting, found, configured in (
            ("MEMOS_QDRANT_QUANTIZATION", "none", "int8"),
            ("MEMOS_QDRANT_ON_DISK", "False", "True"),
        )
    ]


async def test_the_report_compares_shards_and_replicas_where_the_server_reports_them(
    any_client: AsyncQdrantClient,
) -> None:
    await opened(any_client, ServerOptions(shards=1, replicas=1, write_consistency=1))
    index = await opened(any_client, ServerOptions(shards=2, replicas=3, write_consistency=2))
    params = (await any_client.get_collection(f"{PREFIX}_tool")).config.params
    settings = {"MEMOS_QDRANT_SHARDS", "MEMOS_QDRANT_REPLICAS", "MEMOS_QDRANT_WRITE_CONSISTENCY"}
    expected = settings if params.shard_number is not None else set()  # the local mode reports none of them
    assert {mismatch.setting for mismatch in (await index.report()).mismatches} == expected


async def test_settings_without_a_value_are_not_compared(any_client: AsyncQdrantClient) -> None:
    await opened(any_client, replace(COMPRESSED, shards=2, replicas=1, write_consistency=1))
    assert (await (await opened(any_client, DEFAULT_OPTIONS)).report()).mismatches == []


async def test_a_new_generation_has_the_configured_settings(any_client: AsyncQdrantClient) -> None:
    await opened(any_client, COMPRESSED)
    index = await opened(any_client, UNCOMPRESSED)
    assert {mismatch.found for mismatch in (await index.report()).mismatches} == {"int8", "True"}
    draft = await index.draft(SHAPE)
    await draft.commit()
    assert (await index.report()).mismatches == []


async def quantized(client: AsyncQdrantClient, collection: str) -> None:
    """Have a server quantize the vectors of so few points, which the local mode never does."""
    if (await client.get_collection(collection)).payload_schema:
        name = {alias.alias_name: alias.collection_name for alias in (await client.get_aliases()).aliases}[collection]
        await client.update_collection(name, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1))
        with anyio.fail_after(60):
            while not (await client.get_collection(name)).indexed_vectors_count:
                await anyio.lowlevel.checkpoint()


async def test_the_scores_of_compressed_vectors_are_those_of_the_original_ones(any_client: AsyncQdrantClient) -> None:
    index = await opened(any_client, COMPRESSED)
    await index.put("memory", [entry(n, f"word{n}") for n in range(500)])
    await quantized(any_client, f"{PREFIX}_memory")
    lanes = await search(index, "memory", "", vector((7, 0)), OURS, 20)
    assert dense(lanes)[0] == 7
    for match in lanes.dense:
        stored = vector((match.item_id.int, 0))
        exact = sum(one * other for one, other in zip(stored, vector((7, 0)), strict=True))
        assert match.score == pytest.approx(exact, abs=1e-5)
