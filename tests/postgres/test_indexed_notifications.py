"""What one process has indexed reaches all of them, through the database."""

from collections.abc import Sequence
from uuid import uuid4

import anyio
import pytest

from memos_mcp.domain.index_queue import Indexed
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.index_queue import INDEXED_PER_PAYLOAD, PostgresIndexQueue

pytestmark = pytest.mark.anyio


async def test_a_notification_of_any_size_reaches_every_subscriber(database: Database, database_url: str) -> None:
    sent = [Indexed("memory", uuid4(), 2**63 - 1) for _ in range(2 * INDEXED_PER_PAYLOAD)]
    sent.append(Indexed("tool", uuid4(), 0))
    other = Database(database_url)
    received: dict[str, list[Indexed]] = {"own": [], "other": []}
    complete = {name: anyio.Event() for name in received}

    def collect(name: str, indexed: Sequence[Indexed]) -> None:
        received[name] += indexed
        if len(received[name]) == len(sent):
            complete[name].set()

    queues = {"own": PostgresIndexQueue(database), "other": PostgresIndexQueue(other)}
    queues["own"].subscribe(lambda indexed: collect("own", indexed))
    queues["other"].subscribe(lambda indexed: collect("other", indexed))
    for queue in queues.values():
        await queue.wait(60)  # starts to listen
    await queues["own"].notify_indexed(sent)
    with anyio.fail_after(10):
        for event in complete.values():
            await event.wait()
    assert received == {"own": sent, "other": sent}
    await other.close()
