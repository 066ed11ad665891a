"""Two servers for all acceptance tests, one for each transport, and a client of each."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.raw_clients import (
    ANSWER_SECONDS,
    SENTINEL,
    HttpRawClient,
    RawClient,
    StdioRawClient,
    unharmed,
    until,
)
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home


@pytest.fixture(scope="package")
def servers(
    tmp_path_factory: pytest.TempPathFactory, home_template: Path, walled_settings: Callable[[], dict[str, str]]
) -> Iterator[Mapping[str, Server]]:
    """A bridge with its engine, and an HTTP server; both must have stopped at the end."""
    homes = tmp_path_factory.mktemp("homes")
    with ExitStack() as stack:
        stdio = Server(copy_home(home_template, homes / "stdio"), settings=walled_settings())
        stack.callback(stdio.stop)
        http = Server(copy_home(home_template, homes / "http"), ("serve", "--port", "0"), walled_settings())
        stack.callback(http.stop)
        yield {"stdio": stdio, "http": http}
    for log in (stdio.log, http.log):
        assert "serves" in log
        assert "incident" not in log
        assert "Traceback" not in log


@pytest.fixture(scope="package")
async def clients(servers: Mapping[str, Server]) -> AsyncIterator[Mapping[str, RawClient]]:
    """A client of each server; it has stored the memory that must survive every test."""
    http = HttpRawClient(servers["http"])
    clients: dict[str, RawClient] = {"stdio": await StdioRawClient(servers["stdio"]).open(), "http": http}
    for client in clients.values():
        assert (await client.call("store_memory", {"content": SENTINEL, "session_id": "sentinel"})).data["created"]
        await until(partial(_answers_by_meaning, client))
        client.timeout = ANSWER_SECONDS
    yield clients
    for client in clients.values():
        found = (await client.call("query_memory", {"query": "spare key of the lighthouse", "limit": 3})).data
        assert SENTINEL in [memory["content"] for memory in found["memories"]]
        assert found["degraded"] is None
    await http.close()


@pytest.fixture(params=["stdio", "http"])
async def client(request: pytest.FixtureRequest, clients: Mapping[str, RawClient]) -> AsyncIterator[RawClient]:
    """A client whose server must work as before after the test."""
    async with unharmed(clients[request.param]) as client:
        yield client


async def _answers_by_meaning(client: RawClient) -> bool:
    return (await client.call("query_memory", {"query": "where is the key"})).data["degraded"] is None
