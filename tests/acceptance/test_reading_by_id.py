"""Memories are read by their ids, and a long one on from where its excerpt ends."""

from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, refused

pytestmark = pytest.mark.anyio

LONG = " ".join(f'Lighthouse {number} has {number % 7} lamps, "{chr(0xE000 + number)}".' for number in range(300))


async def store(client: RawClient, content: str) -> str:
    memory_id: str = (await client.call("store_memory", {"content": content})).data["memory_id"]
    return memory_id


async def test_memories_are_read_in_the_order_of_the_ids(client: RawClient) -> None:
    ids = [await store(client, f"Buoy {number} rings.") for number in range(4)]
    asked = [ids[2], ids[0], ids[3], ids[0]]

    read = (await client.call("query_memory", {"memory_ids": asked})).data

    assert [memory["memory_id"] for memory in read["memories"]] == [ids[2], ids[0], ids[3]]
    assert (read["total"], read["next_cursor"], read["degraded"]) == (3, None, None)
    assert "note" not in read


async def test_ids_that_are_not_there_are_named(client: RawClient) -> None:
    kept, replaced, unknown = await store(client, "The new chart."), await store(client, "An old chart."), str(uuid4())
    await client.call("store_memory", {"content": "A newer chart.", "supersedes": replaced})

    read = (await client.call("query_memory", {"memory_ids": [replaced, kept, unknown]})).data

    assert [memory["content"] for memory in read["memories"]] == ["The new chart."]
    assert read["note"] == f"Not here: {replaced}, {unknown}: superseded, forgotten, expired, or of another namespace."


async def test_what_does_not_fit_follows_with_the_cursor(client: RawClient) -> None:
    ids = [await store(client, f"Bell {number}. " + "It tolls. " * 300) for number in range(6)]
    read: list[str] = []
    cursor = None
    while cursor is not None or not read:
        page = (await client.call("query_memory", {"memory_ids": ids, "cursor": cursor})).data
        read += [memory["memory_id"] for memory in page["memories"]]
        cursor = page["next_cursor"]
    assert read == ids
    other = {
        "memory_ids": ids[1:],
        "cursor": (await client.call("query_memory", {"memory_ids": ids})).data["next_cursor"],
    }
    assert "cursor does not belong" in await refused(client, "query_memory", other)


@pytest.mark.parametrize("max_tokens", [200, 500, 1_500])
async def test_a_long_memory_is_read_on_to_its_end(client: RawClient, max_tokens: int) -> None:
    memory_id = await store(client, LONG)
    parts, offset = [], 0
    while offset < len(LONG):
        asked = {"memory_ids": [memory_id], "offset": offset, "max_tokens": max_tokens}
        answer = await client.call("query_memory", asked)
        (memory,) = answer.data["memories"]
        assert memory["excerpt"] == {"start": offset, "end": offset + len(memory["content"]), "length": len(LONG)}
        assert len(answer.message["result"]["content"][0]["text"]) <= max_tokens * 4
        parts.append(memory["content"])
        offset = memory["excerpt"]["end"]
    assert "".join(parts) == LONG


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"offset": 5}, "give its memory_id, and no other"),
        ({"memory_ids": [str(uuid4()), str(uuid4())], "offset": 5}, "give its memory_id, and no other"),
        ({"memory_ids": [str(uuid4())], "query": "buoy", "kind": "semantic"}, "Leave out: kind, query."),
        ({"memory_ids": []}, "a list of 1 to 100 memory_ids"),
        ({"memory_ids": ["7"]}, "a list of 1 to 100 memory_ids, as a store or a query returned them; entry 0 is '7'"),
        ({"memory_ids": [str(uuid4()) for _ in range(101)]}, "a list of 1 to 100 memory_ids"),
        ({"memory_ids": [str(uuid4())], "offset": -1}, "offset must be"),
    ],
)
async def test_a_read_that_cannot_be_meant_is_refused_with_what_to_do(
    client: RawClient, asked: dict[str, object], reason: str
) -> None:
    assert reason in await refused(client, "query_memory", asked)


async def test_an_offset_beyond_the_end_is_refused_with_the_length(client: RawClient) -> None:
    asked = {"memory_ids": [await store(client, "A short one.")], "offset": 12}
    assert "this memory has 12 characters" in await refused(client, "query_memory", asked)
