"""Which of several addresses requests are sent to."""

import httpx
import pytest
from qdrant_client.http.api_client import SendAsync

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant.server.client import GRACE_SECONDS, _client
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import ServerOptions
from tests.qdrant.samples import SHAPE, dense, entry, item, search, vector
from tests.qdrant.server.stand_in_server import StandInServer

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")
SEARCH = "/collections/memos_memory/points/query/batch"
UPSERT = "/collections/memos_memory/points"
DELETE = "/collections/memos_memory/points/delete"


def index_at(*addresses: str, timeout: int = 5) -> ServerIndex:
    return ServerIndex(", ".join(addresses), None, "memos", options=ServerOptions(timeout=timeout))


async def found(index: ServerIndex) -> list[int]:
    return dense(await search(index, "memory", "cat", vector((1, 0)), OURS, 5))


async def test_only_the_first_address_is_used_while_it_answers() -> None:
    first, second = StandInServer(), StandInServer()
    async with first.serve() as one, second.serve() as other:
        index = index_at(one, other)
        await index.open(SHAPE)
        assert await found(index) == [1]
        await index.close()
    assert SEARCH in first.paths
    assert second.paths == []


async def test_the_next_address_is_used_when_nothing_listens_at_the_first(
    free_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    second = StandInServer()
    async with second.serve() as other:
        index = index_at(f"http://127.0.0.1:{free_tcp_port}", other)
        await index.open(SHAPE)
        assert await found(index) == [1]
        await index.close()
    assert caplog.messages == ["Address 1 of MEMOS_QDRANT_URL failed; the next one is used"]


async def test_reads_and_writes_continue_at_the_next_address_when_a_node_stops() -> None:
    first, second = StandInServer(takes_writes=True), StandInServer(takes_writes=True)
    async with second.serve() as other:
        async with first.serve() as one:
            index = index_at(one, other)
            await index.open(SHAPE)
            await index.put("memory", [entry(1, "cat")])
        await index.put("memory", [entry(1, "cat")])
        await index.drop("memory", [item(1)])
        assert await found(index) == [1]
        await index.close()
    assert second.paths == [UPSERT, DELETE, DELETE, SEARCH]


@pytest.mark.parametrize("number_of_nodes", [1, 2])
async def test_a_request_is_repeated_at_each_other_address_once(number_of_nodes: int) -> None:
    nodes = [StandInServer(), StandInServer()][:number_of_nodes]
    async with nodes[0].serve() as one, nodes[-1].serve() as other:
        index = index_at(*[one, other][:number_of_nodes])
        await index.open(SHAPE)
        for node in nodes:
            node.behaviour = "hang up"
            node.received.clear()
        with pytest.raises(IndexUnavailable):
            await found(index)
        assert [node.paths for node in nodes] == [[SEARCH]] * number_of_nodes
        await index.close()


async def test_a_request_whose_connection_is_lost_is_repeated_at_the_next_address() -> None:
    first, second = StandInServer(takes_writes=True), StandInServer(takes_writes=True)
    async with first.serve() as one, second.serve() as other:
        index = index_at(one, other)
        await index.open(SHAPE)
        first.behaviour = "hang up"
        await index.put("memory", [entry(1, "cat")])
        await index.close()
    assert UPSERT in first.paths
    assert UPSERT in second.paths


async def test_a_search_that_times_out_is_not_repeated_but_the_next_one_asks_the_next_address() -> None:
    first, second = StandInServer(), StandInServer()
    async with first.serve() as one, second.serve() as other:
        index = index_at(one, other, timeout=1)
        await index.open(SHAPE)
        first.behaviour = "stay silent"
        with pytest.raises(IndexUnavailable):
            await found(index)
        assert second.paths == []
        assert await found(index) == [1]
        await index.close()


async def test_an_answer_that_is_an_error_is_no_reason_to_ask_the_next_address() -> None:
    first, second = StandInServer(), StandInServer()
    async with first.serve() as one, second.serve() as other:
        index = index_at(one, other)
        await index.open(SHAPE)
        with pytest.raises(IndexUnavailable):
            await index.drop("memory", [item(1)])
        await index.close()
    assert second.paths == []


async def test_a_write_that_is_not_searchable_in_time_has_failed() -> None:
    server = StandInServer(takes_writes=True, write_status="wait_timeout")
    async with server.serve() as address:
        index = index_at(address)
        await index.open(SHAPE)
        with pytest.raises(IndexUnavailable, match="does not finish a write in time"):
            await index.put("memory", [entry(1, "cat")])
        with pytest.raises(IndexUnavailable, match="does not finish a write in time"):
            await index.drop("memory", [item(1)])
        await index.close()


async def test_the_server_gets_the_timeout_of_a_search_and_six_times_as_long_for_a_write() -> None:
    server = StandInServer(takes_writes=True)
    async with server.serve() as address:
        index = index_at(address, timeout=7)
        await index.open(SHAPE)
        await found(index)
        await index.drop("memory", [item(1)])
        await index.close()
    queries = {request.path: request.query for request in server.received}
    assert queries[SEARCH] == "timeout=7"
    assert queries[DELETE] == "wait=true&timeout=42"


async def test_a_write_waits_longer_for_an_answer_but_not_for_a_connection() -> None:
    limits: list[dict[str, float]] = []

    async def record(request: httpx.Request, send: SendAsync) -> httpx.Response:
        response = await send(request)
        limits.append(request.extensions["timeout"])
        return response

    async with StandInServer(empty=True).serve() as address:
        client = _client(address, None, ServerOptions(timeout=2))
        client.http.client.add_middleware(record)
        await client.get_aliases()
        await client.delete_collection("any", timeout=12)
        await client.close()
    assert [(one["connect"], one["read"]) for one in limits] == [(2, 2), (2, 12 + GRACE_SECONDS)]


@pytest.mark.parametrize("addresses", ["", " , ", "http://127.0.0.1:6333,host:6333"])
async def test_a_list_with_an_address_that_cannot_be_used_is_refused(addresses: str) -> None:
    with pytest.raises(IndexUnavailable, match="MEMOS_QDRANT_URL is not an address"):
        await index_at(addresses).open(SHAPE)
