"""What exceeds the budget of a namespace is indexed later, and others are not delayed."""

from pathlib import Path

import pytest

from memos_mcp.app import compose, running
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.quotas import Quota
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.services.embedding_budget import MAX_WAIT, EmbeddingBudget
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.services.test_call_limits import Clock, Fixed
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

TEAM, OTHER = Scope("team", "ann"), Scope("other", "bob")


async def test_items_of_a_namespace_without_time_wait_while_others_are_indexed(
    tmp_path: Path, database: Database, index: DownIndex, embedder: HashEmbedder
) -> None:
    app = compose(Settings(home=tmp_path, index_wait_seconds=5), database, index, embedder)
    await app.quotas.store.set(TEAM.namespace, Quota(embedding_seconds=1e-9))
    async with running(app):
        await caught_up(app)
        assert (await app.memories.store(TEAM, NewMemory("a heron was seen"))).indexed
        app.memories._wait = 0.05
        late = await app.memories.store(TEAM, NewMemory("an egret was seen"))
        app.memories._wait = 5
        assert (late.created, late.indexed) == (True, False)
        assert (await app.memories.store(OTHER, NewMemory("a crane was seen"))).indexed
        assert await app.queue.queued_ids("memory", [late.memory_id]) == {late.memory_id}
        assert app.telemetry.quotas_exceeded["embedding_seconds"] == 1


async def test_a_debt_is_repaid_with_time() -> None:
    clock = Clock()
    budget = EmbeddingBudget(Fixed(Quota(embedding_seconds=6)), seconds=clock)
    await budget.charge({"team": 5, "other": 5})
    assert await budget.exhausted() == {}
    await budget.charge({"team": 4})
    (wait,) = (await budget.exhausted()).values()
    assert 30 <= wait.total_seconds() <= 32
    await budget.charge({"team": 100})
    assert await budget.exhausted() == {"team": MAX_WAIT}
    clock.now = 1_100
    assert await budget.exhausted() == {}


async def test_a_namespace_whose_limit_is_removed_waits_no_longer() -> None:
    quotas = Fixed(Quota(embedding_seconds=1))
    budget = EmbeddingBudget(quotas, seconds=Clock())
    await budget.charge({"team": 100})
    quotas.quota = Quota()
    assert await budget.exhausted() == {}
