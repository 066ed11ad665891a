"""Two homes for the whole folder, one for each transport, and a client of each."""

from collections.abc import AsyncIterator, Iterator, Mapping
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
from tests.acceptance.servers import Server, share_model


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first server builds the model for all."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Mapping[str, Server]]:
    """A bridge with its engine, and a server of HTTP, stopped and seen to be gone at the end."""
    homes = tmp_path_factory.mktemp("homes")
    with ExitStack() as stack:
        stdio = Server(share_model(homes / "stdio", models))
        stack.callback(stdio.stop)
        http = Server(share_model(homes / "http", models), ("serve", "--port", "0"))
        stack.callback(http.stop)
        yield {"stdio": stdio, "http": http}
    for said in (stdio.said, http.said):
        assert "serves" in said
        assert "incident" not in said
        assert "Traceback" not in said


@pytest.fixture(scope="package")
async def doors(servers: Mapping[str, Server]) -> AsyncIterator[Mapping[str, RawClient]]:
    """A client of each server, which has stored the memory that nothing may lose."""
    http = HttpRawClient(servers["http"])
    doors: dict[str, RawClient] = {"stdio": await StdioRawClient(servers["stdio"]).open(), "http": http}
    for client in doors.values():
        assert (await client.call("store_memory", {"content": SENTINEL, "session_id": "sentinel"})).data["created"]
        await until(partial(_answers_by_meaning, client))
        client.patience = ANSWER_SECONDS
    yield doors
    for client in doors.values():
        found = (await client.call("query_memory", {"query": "spare key of the lighthouse", "limit": 3})).data
        assert SENTINEL in [memory["content"] for memory in found["memories"]]
        assert found["degraded"] is None
    await http.close()


@pytest.fixture(params=["stdio", "http"])
async def client(request: pytest.FixtureRequest, doors: Mapping[str, RawClient]) -> AsyncIterator[RawClient]:
    """A client; after the test its server must be as well as before."""
    async with unharmed(doors[request.param]) as client:
        yield client


async def _answers_by_meaning(client: RawClient) -> bool:
    return (await client.call("query_memory", {"query": "where is the key"})).data["degraded"] is None
