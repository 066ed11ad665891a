"""What only the index on a server does: collections, aliases, and errors of the connection."""

import logging
import time
from collections.abc import AsyncIterator

import anyio
import pytest
from qdrant_client import AsyncQdrantClient, models

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import ITEM_KINDS, IndexFilter
from memos_mcp.qdrant.points import FORMAT
from memos_mcp.qdrant.server.collections import LEFTOVER_SECONDS
from memos_mcp.qdrant.server.index import ServerIndex
from tests.qdrant.samples import OTHER_SHAPE, SHAPE, bm25, dense, entry, item, search, vector, versions
from tests.qdrant.server.stand_in_server import StandInServer

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")


@pytest.fixture
async def client() -> AsyncIterator[AsyncQdrantClient]:
    client = AsyncQdrantClient(":memory:")
    yield client
    await client.close()


async def wait_until_opened(client: AsyncQdrantClient, prefix: str = "memos") -> ServerIndex:
    index = ServerIndex("", None, prefix, client)
    await index.open(SHAPE)
    return index


async def collections(client: AsyncQdrantClient) -> set[str]:
    return {collection.name for collection in (await client.get_collections()).collections}


async def aliases(client: AsyncQdrantClient) -> dict[str, str]:
    return {alias.alias_name: alias.collection_name for alias in (await client.get_aliases()).aliases}


async def test_each_kind_has_a_collection_behind_an_alias(client: AsyncQdrantClient) -> None:
    index = await wait_until_opened(client)
    generation = (await index.report()).generation
    expected = {f"memos_{kind}": f"memos_{kind}_{generation}" for kind in ITEM_KINDS}
    assert await aliases(client) == expected
    assert await collections(client) == set(expected.values())


async def test_a_commit_moves_all_aliases_and_removes_the_old_collections(client: AsyncQdrantClient) -> None:
    index = await wait_until_opened(client)
    before = await aliases(client)
    draft = await index.draft(SHAPE)
    assert len(await collections(client)) == 2 * len(ITEM_KINDS)
    await draft.commit()
    after = await aliases(client)
    assert after.keys() == before.keys()
    assert set(after.values()).isdisjoint(before.values())
    assert await collections(client) == set(after.values())


async def test_another_process_follows_a_swap_without_a_message(client: AsyncQdrantClient) -> None:
    ours, theirs = await wait_until_opened(client), await wait_until_opened(client)
    draft = await ours.draft(SHAPE)
    await draft.put("memory", [entry(1, "cat")])
    await draft.commit()
    assert bm25(await search(theirs, "memory", "cat", vector((1, 0)), OURS, 5)) == [1]
    await theirs.put("memory", [entry(2, "cat")])
    assert await versions(ours, "memory") == {item(1): 1, item(2): 1}


async def test_a_process_that_wants_another_model_finds_the_index_outdated_until_it_opens_again(
    client: AsyncQdrantClient,
) -> None:
    ours, theirs = await wait_until_opened(client), await wait_until_opened(client)
    draft = await theirs.draft(OTHER_SHAPE)
    await draft.commit()
    await ours.open(SHAPE)
    assert ours.outdated
    assert (await ours.report()).shape == OTHER_SHAPE


async def test_installations_with_other_prefixes_do_not_meet(client: AsyncQdrantClient) -> None:
    ours, theirs = await wait_until_opened(client), await wait_until_opened(client, "memos_memory")
    await ours.put("memory", [entry(1, "cat")])
    await (await ours.draft(SHAPE)).commit()
    assert await versions(theirs, "memory") == {}
    assert len(await collections(client)) == 2 * len(ITEM_KINDS)


async def test_drafts_given_up_long_ago_are_removed_and_young_ones_are_not(client: AsyncQdrantClient) -> None:
    index = await wait_until_opened(client)
    young = await index.draft(SHAPE)
    about = {"format": FORMAT, "created": time.time() - LEFTOVER_SECONDS - 1}
    for name in ("memos_tool_0123456789ab", "other_tool_0123456789ab"):
        await client.create_collection(name, vectors_config={}, metadata=about)
    await index.draft(SHAPE)
    names = await collections(client)
    assert "memos_tool_0123456789ab" not in names
    assert "other_tool_0123456789ab" in names
    await young.commit()


async def test_a_generation_of_another_format_is_replaced_by_an_empty_one(client: AsyncQdrantClient) -> None:
    index = await wait_until_opened(client)
    await index.put("memory", [entry(1, "cat")])
    await client.update_collection((await aliases(client))["memos_memory"], metadata={"format": FORMAT - 1})
    await index.open(SHAPE)
    assert await versions(index, "memory") == {}


async def test_a_question_names_the_namespace_as_the_corpus_of_its_words(client: AsyncQdrantClient) -> None:
    index = await wait_until_opened(client)
    await index.put("memory", [entry(1, "cat"), entry(2, "cat dog"), entry(3, "cat", namespace="theirs")])
    lanes = await search(index, "memory", "dog", None, OURS, 5)
    everything = await client.query_points(
        "memos_memory",
        query=models.SparseVector(indices=index._opened().client._words.question("dog").indices, values=[1.0]),
        using="bm25",
    )
    assert lanes.bm25[0].score < everything.points[0].score


async def test_a_server_that_cannot_be_reached_makes_the_index_unavailable(
    free_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    index = ServerIndex(f"https://127.0.0.1:{free_tcp_port}", "secret-key", "memos")
    with caplog.at_level(logging.DEBUG, "memos_mcp"):
        for _ in range(2):
            with pytest.raises(IndexUnavailable) as raised:
                await index.open(SHAPE)
            assert "127.0.0.1" not in str(raised.value)
        with pytest.raises(IndexUnavailable):
            await search(index, "memory", "cat", None, OURS, 1)
    assert "did not answer" in caplog.text
    assert "secret-key" not in caplog.text + repr(index)
    await index.close()


@pytest.mark.parametrize("address", ["not an address", "http://user:sesame@host:port", "host:6333"])
async def test_an_address_that_cannot_be_read_is_never_quoted(address: str, caplog: pytest.LogCaptureFixture) -> None:
    index = ServerIndex(address, None, "memos")
    with pytest.raises(IndexUnavailable, match="MEMOS_QDRANT_URL is not an address"):
        await index.open(SHAPE)
    assert address not in caplog.text
    assert "sesame" not in caplog.text


async def test_the_index_is_back_when_the_server_is(free_tcp_port: int) -> None:
    index = ServerIndex(f"http://127.0.0.1:{free_tcp_port}", None, "memos")
    with pytest.raises(IndexUnavailable):
        await index.open(SHAPE)
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=free_tcp_port) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, StandInServer().answer)
        await index.open(SHAPE)
        lanes = await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        assert (dense(lanes), bm25(lanes)) == ([1], [1])
        tasks.cancel_scope.cancel()
    with pytest.raises(IndexUnavailable):
        await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
    await index.close()


async def test_an_answer_that_is_an_error_makes_the_index_unavailable(free_tcp_port: int) -> None:
    index = ServerIndex(f"http://127.0.0.1:{free_tcp_port}", None, "memos")
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=free_tcp_port) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, StandInServer().answer)
        await index.open(SHAPE)
        with pytest.raises(IndexUnavailable):
            await index.drop("memory", [item(1)])
        tasks.cancel_scope.cancel()
    await index.close()


@pytest.mark.parametrize("version", ["1.16.3", "1.18.2", "0.11.0"])
async def test_a_server_that_is_too_old_is_refused_with_its_version(version: str) -> None:
    server = StandInServer(version)
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos")
        with pytest.raises(IndexUnavailable, match=f"has version {version}, but 1.19 or newer is needed") as raised:
            await index.open(SHAPE)
        assert "127.0.0.1" not in str(raised.value)
        with pytest.raises(IndexUnavailable):
            await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        await index.close()
    assert server.paths == ["/"]


async def test_a_server_that_does_not_give_its_version_is_refused() -> None:
    server = StandInServer("master")
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos")
        with pytest.raises(IndexUnavailable, match="has version unknown"):
            await index.open(SHAPE)
        await index.close()


async def test_a_server_that_was_replaced_by_an_older_one_is_refused_at_the_next_opening() -> None:
    server = StandInServer("2.0.0")
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos")
        await index.open(SHAPE)
        await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        server.version = "1.18.0"
        with pytest.raises(IndexUnavailable):
            await index.open(SHAPE)
        with pytest.raises(IndexUnavailable):
            await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        await index.close()


async def test_the_version_is_asked_once_per_opening() -> None:
    server = StandInServer()
    async with server.serve() as address:
        index = ServerIndex(address, None, "memos")
        await index.open(SHAPE)
        await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        await search(index, "memory", "cat", vector((1, 0)), OURS, 5)
        await index.close()
    assert server.paths.count("/") == 1
