"""Quotas over real HTTP: what a client reads, the audit trail and the metrics."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from memos_mcp.domain.audit import AuditQuery
from memos_mcp.domain.quotas import Quota
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.audit import PostgresAudit
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.quotas import PostgresQuotas
from tests.stand_in import SCOPE
from tests.transports.test_http import HEADERS, call
from tests.transports.test_http_tokens import Engine, bearer, running

pytestmark = pytest.mark.anyio

WAIT = call().replace('"content":"x"', '"content":"wait"')


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> AsyncIterator[Engine]:
    """An engine with the quotas of the database."""
    engine = Engine(database, tmp_path)
    async with running(engine):
        yield engine


def refusal(answer: httpx.Response) -> str:
    result: dict[str, Any] = answer.json()["result"]
    assert (answer.status_code, result["isError"]) == (200, True)
    return str(result["content"][0]["text"])


async def test_a_call_beyond_the_rate_is_refused_with_the_time_to_come_back(engine: Engine, database: Database) -> None:
    await PostgresQuotas(database).set(SCOPE.namespace, Quota(calls_a_minute=1))
    mine, theirs = await engine.token(), await engine.token(namespace="elsewhere")
    assert not (await engine.post(mine)).json()["result"].get("isError")
    assert refusal(await engine.post(mine)).startswith(
        "The namespace has made 1 of at most 1 calls a minute. Repeat the call in "
    )
    engine.services.memories.scope = Scope("elsewhere", SCOPE.agent_id)
    assert not (await engine.post(theirs)).json()["result"].get("isError")
    assert engine.services.telemetry.quotas_exceeded["calls_a_minute"] == 1
    await engine.audit.flush()
    records = await PostgresAudit(database).find(AuditQuery(SCOPE.namespace))
    assert sorted(record.outcome for record in records) == ["ok", "refused"]


async def test_a_call_beyond_the_concurrent_ones_is_refused(engine: Engine, database: Database) -> None:
    await PostgresQuotas(database).set(SCOPE.namespace, Quota(concurrent_calls=1))
    token = await engine.token()

    async def wait() -> None:
        answer = await engine.client.post("/mcp", headers={**HEADERS, **bearer(token)}, content=WAIT)
        assert not answer.json()["result"].get("isError")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await engine.services.memories.started.wait()
            assert "has 1 of at most 1 concurrent calls" in refusal(await engine.post(token))
            engine.services.memories.proceed.set()
