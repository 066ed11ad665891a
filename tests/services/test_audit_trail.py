from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest

from memos_mcp.domain.audit import AuditMode, AuditQuery, AuditRecord
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.services import audit_trail
from memos_mcp.services.audit_trail import AuditTrail

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCOPE = Scope("team", "ann", Client("desktop", "1", "stdio"))


class Store:
    """Keeps records in memory while it is up, and reports each batch."""

    def __init__(self) -> None:
        self.records: list[AuditRecord] = []
        self.batches: list[int] = []
        self.up = True
        self.attempted = anyio.Event()

    async def add(self, records: Sequence[AuditRecord]) -> None:
        self.attempted.set()
        if not self.up:
            raise StoreUnavailable("Away.")
        self.batches.append(len(records))
        self.records += records

    async def find(self, query: AuditQuery) -> list[AuditRecord]:
        return self.records[: query.limit]

    async def prune(self, before: datetime) -> int:
        self.records = [record for record in self.records if record.at >= before]
        return 0


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "FLUSH_SECONDS", 0.001)


@asynccontextmanager
async def running(store: Store, mode: AuditMode = "all") -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(store, mode, lambda: NOON)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trail.run)
            yield trail
            tasks.cancel_scope.cancel()
        await trail.flush()


def outcomes(store: Store) -> list[tuple[str | None, str, int]]:
    return [(record.tool, record.outcome, record.calls) for record in store.records]


async def test_records_are_written_in_the_background_and_the_last_ones_at_the_end() -> None:
    store = Store()
    async with running(store) as trail:
        trail.record(SCOPE, "store_memory", "ok", ["a"], "r")
        await store.attempted.wait()
        trail.record(SCOPE, "query_memory", "ok", [], None)
    assert outcomes(store) == [("store_memory", "ok", 1), ("query_memory", "ok", 1)]
    assert store.records[0] == AuditRecord(NOON, SCOPE, "store_memory", "ok", "stdio", ("a",), "r")


async def test_repeated_refusals_are_one_record_for_each_caller_and_tool() -> None:
    store = Store()
    async with running(store) as trail:
        for _ in range(500):
            trail.record(SCOPE, "query_memory", "refused", [], None)
        trail.record(Scope("team", "bob"), "query_memory", "refused", [], None)
        trail.record(SCOPE, "update_memory", "refused", ["a"], None)
    assert sorted(outcomes(store), key=str) == [
        ("query_memory", "refused", 1),
        ("query_memory", "refused", 500),
        ("update_memory", "refused", 1),
    ]


async def test_a_flood_of_wrong_tokens_makes_one_record_a_minute() -> None:
    store = Store()
    async with running(store) as trail:
        trail.unauthenticated("http")
        await store.attempted.wait()
        for _ in range(1_000):
            trail.unauthenticated("http")
        await anyio.sleep(0.05)
        assert outcomes(store) == [(None, "unauthenticated", 1)]
    assert outcomes(store) == [(None, "unauthenticated", 1), (None, "unauthenticated", 1_000)]


async def test_records_wait_until_postgres_is_back() -> None:
    store = Store()
    store.up = False
    async with running(store) as trail:
        trail.record(SCOPE, "store_memory", "ok", ["a"], None)
        await store.attempted.wait()
        store.up = True
    assert outcomes(store) == [("store_memory", "ok", 1)]


async def test_what_exceeds_the_memory_is_counted_without_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_trail, "MAX_WAITING", 3)
    store = Store()
    store.up = False
    async with running(store) as trail:
        for number in range(10):
            trail.record(SCOPE, "store_memory", "ok", [str(number)], None)
        store.up = True
    assert outcomes(store) == [("store_memory", "ok", 1)] * 3 + [("store_memory", "ok", 7)]


async def test_many_records_are_written_in_bounded_batches() -> None:
    store = Store()
    async with running(store) as trail:
        for _ in range(2_500):
            trail.record(SCOPE, "store_memory", "ok", [], None)
    assert sum(store.batches) == 2_500
    assert max(store.batches) <= audit_trail.BATCH


async def test_lost_records_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.up = False
    async with running(store) as trail:
        trail.record(SCOPE, "store_memory", "ok", [], None)
    assert "1 audit records are lost" in caplog.text


@pytest.mark.parametrize(
    ("mode", "reads", "changes"), [("off", False, False), ("changes", False, True), ("all", True, True)]
)
async def test_the_mode_says_which_calls_are_recorded(mode: AuditMode, *, reads: bool, changes: bool) -> None:
    store = Store()
    async with running(store, mode) as trail:
        assert (trail.records(changes=False), trail.records(changes=True)) == (reads, changes)
        trail.unauthenticated("http")
    assert len(store.records) == (mode != "off")
