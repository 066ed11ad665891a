"""What a real server records of its calls."""

from collections.abc import Mapping
from uuid import uuid4

import pytest

from tests.acceptance.raw_clients import RawClient, tool_arguments, until

pytestmark = pytest.mark.anyio

RECORDS = """
    SELECT tool, outcome, item_ids, calls, namespace, agent_id, token_id, client, transport, request_id
      FROM audit_records
     WHERE sequence > $1
       AND (item_ids = ARRAY[$2] OR tool = 'register_tool')
     ORDER BY sequence
"""


WRITTEN = "SELECT sequence FROM audit_records WHERE item_ids = ARRAY[$1]"


async def last(client: RawClient) -> int:
    """Return the number of the newest record, once the calls of other tests are recorded: records are written late."""
    stored = (await client.call("store_memory", {"content": f"The newest of {uuid4()}."})).data["memory_id"]

    async def written() -> bool:
        return bool(await client.server.rows(WRITTEN, stored))

    await until(written)
    (row,) = await client.server.rows("SELECT max(sequence) AS number FROM audit_records")
    return int(row["number"])


@pytest.mark.parametrize(
    ("transport", "name", "token"), [("http", "streamable-http", "server"), ("stdio", "stdio", None)]
)
async def test_calls_that_change_something_are_recorded_with_their_ids_and_without_content(
    clients: Mapping[str, RawClient], transport: str, name: str, token: str | None
) -> None:
    client, secret = clients[transport], f"private{uuid4().hex}"
    before = await last(client)
    stored = (await client.call("store_memory", {"content": secret})).data["memory_id"]
    await client.call("query_memory", {"query": secret})
    await client.call("update_memory", {"memory_id": stored, "tags": [secret]})
    await client.call("register_tool", tool_arguments(tool_id="audited", description=secret))
    await client.call("register_tool", {"tool_id": secret})
    await client.call("forget_memory", {"memory_ids": [stored]})

    async def written() -> bool:
        return len(await client.server.rows(RECORDS, before, stored)) == 5

    await until(written)
    rows = await client.server.rows(RECORDS, before, stored)
    assert sorted((row["tool"], row["outcome"], row["item_ids"]) for row in rows) == [
        ("forget_memory", "ok", [stored]),
        ("register_tool", "ok", ["audited"]),
        ("register_tool", "refused", []),
        ("store_memory", "ok", [stored]),
        ("update_memory", "ok", [stored]),
    ]
    by = {(row["namespace"], row["token_id"], row["transport"], row["calls"]) for row in rows}
    assert by == {("default", token, name, 1)}
    assert len({row["request_id"] for row in rows}) == 5
    assert secret not in str(rows)
