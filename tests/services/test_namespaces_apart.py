"""Random calls of four agents in three namespaces, with whatever belongs to others, neither read nor change it."""

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from memos_mcp.app import App, compose, running
from memos_mcp.domain.errors import MemosError
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.index import IndexFilter, IndexQuery, ItemKind, Lanes
from memos_mcp.domain.memory import MemoryFilter, MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.memory_changes import MemoryChange, Selection
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.domain.tool import NewTool, ToolQuery
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.retrieval import pagination
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

MARKS = {"red": "crimson", "green": "emerald", "blue": "cobalt"}
SCOPES = [Scope("red", "ann"), Scope("red", "ben"), Scope("green", "ann"), Scope("blue", "ben")]
WORDS = ["vault", "opens", "meeting", "moved", "coffee", "tomorrow", "printer", "budget"]
SESSIONS = ["monday", "tuesday"]
TOOLS = ["opener", "printer", "mailer"]
UUIDS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

OTHERS = """
    SELECT md5(coalesce(string_agg(text, ';' ORDER BY text), ''))
      FROM (
        SELECT to_jsonb(one)::text AS text FROM agent_memories AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM forgotten_memories AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM memory_events AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM registered_tools AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM past_tasks AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM tool_outcomes AS one WHERE namespace <> $1
         UNION ALL SELECT to_jsonb(one)::text FROM ingested_files AS one WHERE namespace <> $1
      ) AS others
"""


@dataclass
class MisplacedIndex(DownIndex):
    """An index whose points have the wrong namespace, as stale ones could: it proposes what belongs to others."""

    misplaced: str | None = None

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        return await super().search(kind, questions, replace(where, namespace=self.misplaced or where.namespace), limit)


@dataclass
class Players:
    """Plays random calls, and knows every id and cursor that was ever given to anyone."""

    app: App
    database: Database
    index: MisplacedIndex
    dice: random.Random
    ids: dict[UUID, str] = field(default_factory=dict)
    cursors: list[tuple[MemoryQuery, str]] = field(default_factory=list)

    async def play(self, calls: int) -> None:
        for number in range(calls):
            if number % 25 == 0:
                await caught_up(self.app)
            scope = self.dice.choice(SCOPES)
            self.index.misplaced = self.dice.choice([None, *MARKS])
            call = self.dice.choice(CALLS)
            before = await self._others(scope)
            given = self._some_ids()
            try:
                answer = repr(await call(self, scope, given))
            except MemosError as error:
                answer = f"{error}"
            self._check(scope, call.__name__, answer, given)
            assert await self._others(scope) == before, (
                f"call {number}: {call.__name__} of {scope} changed another's rows"
            )

    def content(self, scope: Scope) -> str:
        words = self.dice.sample(WORDS, 3)
        return " ".join([*words, MARKS[scope.namespace]] if self.dice.random() < 0.8 else words)

    def text(self) -> str:
        return " ".join([*self.dice.sample(WORDS, 2), self.dice.choice(list(MARKS.values()))])

    def keep(self, scope: Scope, *ids: UUID) -> None:
        self.ids |= dict.fromkeys(ids, scope.namespace)

    def _some_ids(self) -> list[UUID]:
        known = list(self.ids)
        return [*self.dice.sample(known, min(len(known), 3)), uuid4()]

    def _check(self, scope: Scope, call: str, answer: str, given: Sequence[UUID]) -> None:
        for namespace, mark in MARKS.items():
            assert namespace == scope.namespace or mark not in answer, f"{call} of {scope} answers {answer}"
        found = {UUID(text) for text in UUIDS.findall(answer)} - set(given)
        strange = [one for one in found if self.ids.get(one, scope.namespace) != scope.namespace]
        assert not strange, f"{call} of {scope} answers {answer}"

    async def _others(self, scope: Scope) -> str:
        async with self.database.everything.connection() as connection:
            return str(await connection.fetchval(OTHERS, scope.namespace))


Call = Callable[[Players, Scope, list[UUID]], Awaitable[object]]


async def store(players: Players, scope: Scope, given: list[UUID]) -> object:
    supersedes = players.dice.choice([None, None, given[0]])
    session = players.dice.choice([None, *SESSIONS])
    new = NewMemory(players.content(scope), session_id=session, supersedes=supersedes)
    stored = await players.app.memories.store(scope, new)
    players.keep(scope, stored.memory_id)
    return stored


async def store_many(players: Players, scope: Scope, _given: list[UUID]) -> object:
    added = await players.app.memories.store_many(scope, [NewMemory(players.content(scope)) for _ in range(3)])
    players.keep(scope, *(one.memory_id for one in added))
    return added


async def query(players: Players, scope: Scope, _given: list[UUID]) -> object:
    dice = players.dice
    asked = MemoryQuery(
        dice.choice([None, players.text()]),
        MemoryFilter(session_id=dice.choice([None, *SESSIONS]), agent_id=dice.choice([None, "ann", "ben"])),
        limit=dice.choice([1, 5]),
        include_superseded=dice.random() < 0.3,
    )
    players.index.down = dice.random() < 0.2
    try:
        page = await players.app.memories.query(scope, asked)
    finally:
        players.index.down = False
    _keep_cursor(players, asked, page)
    return page.hits


async def continue_a_page(players: Players, scope: Scope, _given: list[UUID]) -> object:
    if not players.cursors:
        return None
    asked, cursor = players.dice.choice(players.cursors)
    return (await players.app.memories.query(scope, replace(asked, cursor=cursor))).hits


async def read(players: Players, scope: Scope, given: list[UUID]) -> object:
    asked = MemoryQuery(include_superseded=players.dice.random() < 0.5)
    return (await players.app.memories.read(scope, given, asked)).hits


async def update(players: Players, scope: Scope, given: list[UUID]) -> object:
    content = players.dice.choice([None, players.content(scope)])
    changed = await players.app.memory_changes.update(scope, MemoryChange(given[0], content, tags=["seen"]))
    players.keep(scope, changed.memory_id)
    return changed


async def forget(players: Players, scope: Scope, given: list[UUID]) -> object:
    return await players.app.memory_changes.forget(scope, Selection(given))


async def erase(players: Players, scope: Scope, given: list[UUID]) -> object:
    return await players.app.memory_changes.erase(scope, Selection(given[:1]))


async def restore(players: Players, scope: Scope, given: list[UUID]) -> object:
    return await players.app.memory_changes.restore(scope, given)


async def history(players: Players, scope: Scope, given: list[UUID]) -> object:
    events = await players.app.memory_changes.history(scope, given[0])
    assert not events or players.ids[given[0]] == scope.namespace
    return events


async def resolve(players: Players, scope: Scope, given: list[UUID]) -> object:
    return await players.app.memory_changes.resolve(scope, str(given[0])[:6])


async def register(players: Players, scope: Scope, _given: list[UUID]) -> object:
    tool_id = players.dice.choice(TOOLS)
    return await players.app.tools.register(scope, NewTool(tool_id, tool_id, players.content(scope), "http://x"))


async def unregister(players: Players, scope: Scope, _given: list[UUID]) -> object:
    return await players.app.tools.unregister(scope, [players.dice.choice(TOOLS)])


async def discover(players: Players, scope: Scope, _given: list[UUID]) -> object:
    texts = players.dice.choice([(), (players.text(),), tuple(TOOLS)])
    return (await players.app.tools.discover(scope, ToolQuery(texts))).hits


async def report(players: Players, scope: Scope, _given: list[UUID]) -> object:
    outcome = ToolOutcome(players.dice.choice(TOOLS), players.content(scope), worked=True)
    recorded = await players.app.experience.report(scope, outcome)
    past = await players.app.experience.past_tasks(scope, None, 20)
    players.keep(scope, *(task.task_id for task in past))
    return recorded, past


async def forget_tasks(players: Players, scope: Scope, given: list[UUID]) -> object:
    return await players.app.experience.forget(scope, given)


async def gather(players: Players, scope: Scope, _given: list[UUID]) -> object:
    gathered = await players.app.loadouts.gather(scope, None, players.text())
    return gathered.memories.hits, gathered.tools.hits


async def ingest(players: Players, scope: Scope, _given: list[UUID]) -> object:
    sources = PostgresSources(players.database)
    path = players.dice.choice(["a.md", "b.md"])
    if players.dice.random() < 0.3:
        return await sources.remove(scope, "app", [path])
    chunks = [NewMemory(players.content(scope), "document", metadata={"source": "app", "path": path})]
    file = StoredFile(path, sha256(chunks[0].content.encode()).digest(), chunks)
    now = players.app.memories._now()
    return await sources.replace(scope, "app", [file], now), await sources.digests(scope, "app")


CALLS: list[Call] = [
    *([store] * 4), store_many, *([query] * 5), continue_a_page, *([read] * 2), *([update] * 2), forget, erase, restore,
    history, resolve, *([register] * 2), unregister, *([discover] * 2), *([report] * 2), forget_tasks, gather, ingest,
]  # fmt: skip


def _keep_cursor(players: Players, asked: MemoryQuery, page: MemoryPage) -> None:
    if page.more:
        players.cursors.append((asked, pagination.encode(page.hits[-1].position, page.fingerprint)))


@asynccontextmanager
async def playing(folder: Path, url: str, callers_role: str | None, seed: int) -> AsyncIterator[Players]:
    database = Database(url, callers_role=callers_role)
    index = MisplacedIndex(EdgeIndex(folder / "index", hnsw_threshold=1_000), down=False)
    app = compose(Settings(home=folder, index_wait_seconds=0.05), database, index, HashEmbedder())
    async with running(app):
        yield Players(app, database, index, random.Random(seed))


@pytest.mark.parametrize("walls", [False, True], ids=["without walls", "behind walls"])
async def test_random_calls_neither_read_nor_change_what_belongs_to_others(
    tmp_path: Path, database_url: str, callers_role: str, *, walls: bool
) -> None:
    async with playing(tmp_path, database_url, callers_role if walls else None, 1) as players:
        await players.play(100)
        assert set(players.ids.values()) == set(MARKS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("walls", [False, True], ids=["without walls", "behind walls"])
async def test_many_random_calls_neither_read_nor_change_what_belongs_to_others(
    tmp_path: Path, database_url: str, callers_role: str, seed: int, *, walls: bool
) -> None:
    async with playing(tmp_path, database_url, callers_role if walls else None, 100 + seed) as players:
        await players.play(1_000)
