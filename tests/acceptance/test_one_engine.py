"""All clients of a home share one engine, no matter which process started it."""

from collections.abc import Mapping
from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, StdioRawClient, tool_arguments
from tests.acceptance.servers import Server

pytestmark = pytest.mark.anyio


async def test_two_stdio_clients_share_the_engine_and_see_each_others_writes_at_once(
    client: RawClient,
) -> None:
    guest = Server(client.server.home, settings=client.server.settings)
    try:
        other = await StdioRawClient(guest).open()
        for writer, reader in ((client, other), (other, client)):
            content, tool = f"Stored for {reader.name}: {uuid4()}", tool_arguments()
            assert (await writer.call("store_memory", {"content": content})).data["indexed"]
            found = (await reader.call("query_memory", {"query": content, "limit": 1})).data
            assert [memory["content"] for memory in found["memories"]] == [content]
            assert found["degraded"] is None
            assert (await writer.call("register_tool", tool)).data["outcome"] == "created"
            assert (await reader.call("register_tool", tool)).data["outcome"] == "unchanged"
    finally:
        guest.leave()


async def test_an_http_server_also_serves_the_stdio_clients_of_its_home(clients: Mapping[str, RawClient]) -> None:
    http = clients["http"]
    assert http.server.engine == http.server.process.pid
    guest = Server(http.server.home, settings={**http.server.settings, "MEMOS_AGENT_ID": "guest"})
    try:
        other = await StdioRawClient(guest).open()
        assert (await other.call("store_memory", {"content": f"{uuid4()}"})).data["agent_id"] == "guest"
        assert (await http.call("store_memory", {"content": f"{uuid4()}"})).data["agent_id"] == "default"
    finally:
        guest.leave()
