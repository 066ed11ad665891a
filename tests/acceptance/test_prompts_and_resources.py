"""Prompts and resources as clients on both transports get them."""

import json

import pytest

from tests.acceptance.raw_clients import RawClient, stored

pytestmark = pytest.mark.anyio


async def test_a_stored_memory_is_read_as_a_resource_and_recalled_by_a_prompt(client: RawClient) -> None:
    content = "The weather vane of the museum was repaired by a clockmaker."
    memory_id = (await stored(client, content=content))["memory_id"]
    read = await client.ask("resources/read", {"uri": f"memos://memories/{memory_id}"})
    assert json.loads(read.message["result"]["contents"][0]["text"])["content"] == content
    recalled = await client.ask("prompts/get", {"name": "recall", "arguments": {"topic": "repair of the weather vane"}})
    assert content in recalled.message["result"]["messages"][0]["content"]["text"]


async def test_an_unknown_memory_is_not_read_by_its_uri(client: RawClient) -> None:
    read = await client.ask("resources/read", {"uri": "memos://memories/01890a5d-ac96-774b-bcce-b302099a8057"})
    assert read.code == -32602
