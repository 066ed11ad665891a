"""All clients of a home meet one engine, whoever has started it."""

from collections.abc import Mapping
from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, StdioRawClient, tool_arguments
from tests.acceptance.servers import Server

pytestmark = pytest.mark.anyio


async def test_another_stdio_client_finds_at_once_what_was_stored_and_leaves_the_engine_as_it_was(
    client: RawClient,
) -> None:
    guest = Server(client.server.home)
    try:
        other = await StdioRawClient(guest).open()
        for teller, listener in ((client, other), (other, client)):
            content, tool = f"Told to {listener.name}: {uuid4()}", tool_arguments()
            assert (await teller.call("store_memory", {"content": content})).data["indexed"]
            found = (await listener.call("query_memory", {"query": content, "limit": 1})).data
            assert [memory["content"] for memory in found["memories"]] == [content]
            assert found["degraded"] is None
            assert (await teller.call("register_tool", tool)).data["outcome"] == "created"
            assert (await listener.call("register_tool", tool)).data["outcome"] == "unchanged"
    finally:
        guest.leave()


async def test_who_serves_over_http_serves_the_stdio_clients_of_the_home_too(doors: Mapping[str, RawClient]) -> None:
    http = doors["http"]
    assert http.server.engine == http.server.process.pid
    guest = Server(http.server.home, settings={"MEMOS_AGENT_ID": "guest"})
    try:
        other = await StdioRawClient(guest).open()
        assert (await other.call("store_memory", {"content": f"{uuid4()}"})).data["agent_id"] == "guest"
        assert (await http.call("store_memory", {"content": f"{uuid4()}"})).data["agent_id"] == "default"
    finally:
        guest.leave()
