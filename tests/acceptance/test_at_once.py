"""Concurrent calls of many clients have the same result as sequential ones."""

from collections import Counter
from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, tool_arguments

pytestmark = pytest.mark.anyio


async def test_the_same_content_from_50_clients_at_once_is_one_memory(client: RawClient) -> None:
    content, session = f"stored by everyone {uuid4()}", uuid4().hex
    answers = await client.together("store_memory", [{"content": content, "session_id": session}] * 50)
    stored = [answer.data for answer in answers]
    assert Counter(answer["created"] for answer in stored) == {True: 1, False: 49}
    (memory_id,) = {answer["memory_id"] for answer in stored}
    listed = (await client.call("query_memory", {"session_id": session})).data
    assert (listed["total"], listed["memories"][0]["memory_id"]) == (1, memory_id)
    (row,) = await client.server.rows("SELECT count(*) FROM agent_memories WHERE content = $1", content)
    assert row["count"] == 1


async def test_a_tool_that_many_register_at_once_is_created_once(client: RawClient) -> None:
    tool = tool_arguments()
    answers = [answer.data for answer in await client.together("register_tool", [tool] * 20)]
    assert Counter(answer["outcome"] for answer in answers) == {"created": 1, "unchanged": 19}
    assert {answer["version"] for answer in answers} == {1}


async def test_two_concurrent_registrations_of_one_id_make_two_versions_and_the_later_one_stays(
    client: RawClient,
) -> None:
    tool_id = uuid4().hex
    tools = [tool_arguments(tool_id=tool_id, name=f"by client {number}") for number in range(2)]
    answers = [answer.data for answer in await client.together("register_tool", tools)]
    assert sorted((answer["outcome"], answer["version"]) for answer in answers) == [("created", 1), ("updated", 2)]
    found = (await client.call("discover_tools", {"query": tool_id, "limit": 1})).data
    assert found["tools"][0]["name"] in {tool["name"] for tool in tools}
    (row,) = await client.server.rows("SELECT count(*) FROM registered_tools WHERE tool_id = $1", tool_id)
    assert row["count"] == 1


async def test_only_one_of_20_concurrent_corrections_of_a_memory_succeeds(client: RawClient) -> None:
    session = uuid4().hex
    old = (await client.call("store_memory", {"content": "the old plan", "session_id": session})).data["memory_id"]
    corrections = [{"content": f"plan {n}", "session_id": session, "supersedes": old} for n in range(20)]
    answers = await client.together("store_memory", corrections)
    created = [answer.data for answer in answers if not answer.message["result"].get("isError")]
    listed = (await client.call("query_memory", {"session_id": session, "limit": 100})).data
    assert [memory["memory_id"] for memory in listed["memories"]] == [answer["memory_id"] for answer in created]
    assert len(created) == 1


async def test_valid_calls_between_invalid_ones_are_all_answered(client: RawClient) -> None:
    session = uuid4().hex
    calls = [
        {"content": f"good {number}", "session_id": session} if number % 2 else {"content": "\x00", "tags": number}
        for number in range(40)
    ]
    answers = await client.together("store_memory", calls)
    assert sum(bool(answer.message["result"].get("isError")) for answer in answers) == 20
    listed = (await client.call("query_memory", {"session_id": session, "limit": 100})).data
    assert {memory["content"] for memory in listed["memories"]} == {f"good {number}" for number in range(1, 40, 2)}
