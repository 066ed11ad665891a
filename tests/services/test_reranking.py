"""Answers in the order of a real cross-encoder, which counts the words of the question in the text, each time."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.app import App, assemble, compose, running
from memos_mcp.domain.memory import MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolPage, ToolQuery
from memos_mcp.embedding import loading, reranker
from memos_mcp.embedding.reranker import FastReranker
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.retrieval import pagination
from memos_mcp.retrieval.rerank import RERANKED
from memos_mcp.services.memories import Memories
from memos_mcp.services.memory_search import RERANKER_SKIPPED
from memos_mcp.services.near_duplicates import NearDuplicates
from memos_mcp.services.search import Search
from memos_mcp.services.tools import Tools
from memos_mcp.settings import Settings
from tests import cross_encoder
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")
BRIEF = "the boiler key"
LONG = "a boiler, a boiler key and another key: anybody with a key for the boiler may repair it tonight"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the model; there is no hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "home"


@pytest.fixture
async def app(home: Path, database: Database, index: DownIndex, embedder: HashEmbedder) -> AsyncIterator[App]:
    """An app with a reranker, whose model a test may install."""
    model = FastReranker(cross_encoder.NAME, home)
    async with running(compose(Settings(home=home, index_wait_seconds=5), database, index, embedder, model)) as app:
        await caught_up(app)
        yield app


@pytest.fixture
def plain(app: App, embedder: HashEmbedder) -> Memories:
    """The same memories without a reranker."""
    search = Search(app.index, embedder, app.indexer)
    store = PostgresMemories(app.database)
    near_duplicates = NearDuplicates(store, app.index, PostgresEmbeddings(app.database), embedder.model)
    return Memories(store, search, near_duplicates, app.indexer, lambda: datetime.now(UTC), 5)


@pytest.fixture
def plain_tools(app: App, embedder: HashEmbedder) -> Tools:
    search = Search(app.index, embedder, app.indexer)
    return Tools(PostgresTools(app.database), search, app.experience, app.indexer, lambda: datetime.now(UTC), 5)


def contents(page: MemoryPage) -> list[str]:
    return [hit.memory.content for hit in page.hits]


def ids(page: ToolPage) -> list[str]:
    return [hit.tool.tool_id for hit in page.hits]


def following(page: MemoryPage) -> str:
    return pagination.encode(page.hits[-1].position, page.fingerprint)


async def test_the_reranker_changes_the_order_and_not_the_score(app: App, plain: Memories, home: Path) -> None:
    cross_encoder.install(home)
    await app.memories.store_many(SCOPE, [NewMemory(text) for text in (BRIEF, LONG, "rain all day")])
    await caught_up(app)
    query = MemoryQuery("the boiler key")
    usual, page = await plain.query(SCOPE, query), await app.memories.query(SCOPE, query)

    assert contents(usual) == [BRIEF, LONG, "rain all day"]
    assert contents(page) == [LONG, BRIEF, "rain all day"]
    assert [hit.signals.get("reranker") for hit in page.hits] == [7.0, 3.0, 0.0]
    assert {hit.memory.content: hit.score for hit in page.hits} == {hit.memory.content: hit.score for hit in usual.hits}
    assert (page.total, page.more, page.confident, page.degraded) == (3, False, usual.confident, None)
    assert all("reranker" not in hit.signals for hit in usual.hits)


async def test_the_reranker_reads_the_best_passage_of_a_long_memory(app: App, home: Path) -> None:
    cross_encoder.install(home)
    filler = " ".join(f"filler{number}" for number in range(200))
    await app.memories.store(SCOPE, NewMemory(f"a zebra {filler} the zebra crossing was painted {filler} zebra"))

    [hit] = (await app.memories.query(SCOPE, MemoryQuery("zebra crossing painted"))).hits

    assert hit.span is not None
    assert "zebra crossing" in hit.memory.content[slice(*hit.span)]
    assert hit.signals["reranker"] == 3.0


async def test_the_reranker_reads_twenty_candidates_for_any_limit(app: App, plain: Memories, home: Path) -> None:
    cross_encoder.install(home)
    others = [NewMemory(f"boiler key {number}") for number in range(RERANKED - 2)]
    await app.memories.store_many(SCOPE, [*others, NewMemory(LONG), NewMemory("no such words")])
    await caught_up(app)
    query = MemoryQuery("boiler key", limit=1)

    assert contents(await app.memories.query(SCOPE, query)) == [LONG]
    assert contents(await plain.query(SCOPE, query)) != [LONG]


async def test_the_pages_of_a_reranked_answer_have_no_duplicates(app: App, plain: Memories, home: Path) -> None:
    cross_encoder.install(home)
    texts = [f"plum tree {number}" + " and a plum" * (number * 7 % 5) for number in range(38)]
    await app.memories.store_many(SCOPE, [NewMemory(text) for text in texts])
    await caught_up(app)
    usual = contents(await plain.query(SCOPE, MemoryQuery("a plum tree", limit=50)))
    seen: list[str] = []
    scores: list[float | None] = []
    page, where = None, None
    while page is None or page.more:
        page = await app.memories.query(SCOPE, MemoryQuery("a plum tree", limit=7, cursor=where))
        assert page.degraded is None
        seen += contents(page)
        scores += [hit.signals.get("reranker") for hit in page.hits]
        where = following(page)

    read = [score for score in scores if score is not None]
    assert sorted(seen) == sorted(texts)
    assert len(read) == RERANKED
    assert read == sorted(read, reverse=True)
    assert seen[:RERANKED] != usual[:RERANKED]
    assert seen[RERANKED:] == usual[RERANKED : len(seen)]
    equal = [text for text, score in zip(seen, scores, strict=True) if score == read[0]]
    assert len(equal) > 1
    assert equal == [text for text in usual if text in equal]


async def test_an_answer_that_began_without_the_reranker_continues_without(
    app: App, plain: Memories, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"plum tree {number}" + " and a plum" * (number % 5) for number in range(30)]
    await app.memories.store_many(SCOPE, [NewMemory(text) for text in texts])
    await caught_up(app)
    usual = await plain.query(SCOPE, MemoryQuery("a plum tree", limit=30))

    first = await app.memories.query(SCOPE, MemoryQuery("a plum tree", limit=12))
    cross_encoder.install(home)
    monkeypatch.setattr(loading, "_RETRY_SECONDS", 0.0)
    anew = await app.memories.query(SCOPE, MemoryQuery("a plum tree", limit=12))
    second = await app.memories.query(SCOPE, MemoryQuery("a plum tree", limit=12, cursor=following(first)))
    third = await app.memories.query(SCOPE, MemoryQuery("a plum tree", limit=12, cursor=following(second)))

    assert first.degraded is not None
    assert "cannot be downloaded" in first.degraded
    assert (anew.degraded, contents(anew) == contents(first)) == (None, False)
    assert contents(first) + contents(second) + contents(third) == contents(usual)
    assert (second.degraded, third.degraded) == (RERANKER_SKIPPED, None)


async def test_an_answer_that_began_with_a_reranker_continues_on_a_server_without_one(
    app: App, plain: Memories, home: Path
) -> None:
    cross_encoder.install(home)
    await app.memories.store_many(SCOPE, [NewMemory(f"plum {number}") for number in range(3)])
    await caught_up(app)
    first = await app.memories.query(SCOPE, MemoryQuery("a plum", limit=1))

    second = await plain.query(SCOPE, MemoryQuery("a plum", limit=2, cursor=following(first)))

    assert (len(second.hits), second.more, second.degraded) == (2, False, None)


async def test_each_need_is_reranked_by_its_own_text_and_exact_names_are_first(
    app: App, plain_tools: Tools, home: Path
) -> None:
    cross_encoder.install(home)
    for tool_id, description in (
        ("mail1", "send a letter"),
        ("mail2", "a letter or a card to send to somebody at work, at home, far off, ill, absent, happy or sad"),
        ("rain1", "forecast the rain"),
        ("rain2", "forecast whether rain or the sun rules the coming days at work, at home, far off, on holidays"),
    ):
        await app.tools.record(SCOPE, NewTool(tool_id, tool_id, description, "https://e.example.com"))
    await caught_up(app)
    query = ToolQuery(["send a letter", "forecast the rain"], limit=2)
    usual, page = await plain_tools.discover(SCOPE, query), await app.tools.discover(SCOPE, query)

    assert (ids(usual), ids(page)) == (["mail1", "rain1"], ["mail2", "rain2"])
    assert [hit.signals["reranker"] for hit in page.hits] == [4.0, 5.0]
    assert (page.total, page.confident, page.degraded) == (usual.total, usual.confident, None)
    named = await app.tools.discover(SCOPE, ToolQuery(["send a letter", "RAIN1"]))
    assert ids(named)[:2] == ["rain1", "mail2"]
    assert named.hits[0].signals == {"exact": 1.0}


async def test_a_reranker_that_puts_another_tool_first_takes_confidence_back(
    app: App, plain_tools: Tools, home: Path
) -> None:
    cross_encoder.install(home)
    need = "ferry timetable harbour departures tides quays berths pilots cargo lighthouse moorings customs"
    for tool_id, description in (("sails", need), ("waves", "ferry " * 40)):
        await app.tools.record(SCOPE, NewTool(tool_id, tool_id, description, "https://e.example.com"))
    await caught_up(app)
    usual = await plain_tools.discover(SCOPE, ToolQuery([need]))
    page = await app.tools.discover(SCOPE, ToolQuery([need]))

    assert (ids(usual), usual.confident) == (["sails", "waves"], True)
    assert (ids(page), page.confident) == (["waves", "sails"], None)


async def test_answers_without_the_reranking_model_keep_their_order_and_join_all_reasons(
    app: App, plain: Memories, plain_tools: Tools, index: DownIndex
) -> None:
    await app.memories.store_many(SCOPE, [NewMemory(text) for text in (BRIEF, LONG)])
    await app.tools.record(SCOPE, NewTool("boiler", "Boiler", BRIEF, "https://e.example.com"))
    await caught_up(app)
    query, needs = MemoryQuery("boiler key"), ToolQuery(["boiler key", "a key"])
    for down in (False, True):
        index.down = down
        usual, page = await plain.query(SCOPE, query), await app.memories.query(SCOPE, query)
        usual_tools, tools = await plain_tools.discover(SCOPE, needs), await app.tools.discover(SCOPE, needs)

        assert contents(page) == contents(usual) != []
        assert ids(tools) == ids(usual_tools) == ["boiler"]
        for degraded, also in ((page.degraded, usual.degraded), (tools.degraded, usual_tools.degraded)):
            assert degraded is not None
            reason = degraded.removeprefix("" if also is None else f"{also} ")
            assert reason.startswith(f"The reranker {cross_encoder.NAME} cannot be downloaded.")
            assert (also is None) != down


async def test_hits_that_only_words_found_are_reranked(app: App, home: Path, index: DownIndex) -> None:
    cross_encoder.install(home)
    await app.memories.store_many(SCOPE, [NewMemory("boiler key"), NewMemory(LONG)])
    await caught_up(app)
    index.down = True

    page = await app.memories.query(SCOPE, MemoryQuery("boiler key"))

    assert contents(page) == [LONG, "boiler key"]
    assert page.degraded is not None
    assert page.degraded.endswith("Matched by words only.")


async def test_a_question_without_candidates_needs_no_reranker(app: App) -> None:
    page = await app.memories.query(SCOPE, MemoryQuery("boiler key"))
    found = await app.tools.discover(SCOPE, ToolQuery(["boiler key"]))
    assert (page.hits, page.degraded, found.hits, found.degraded) == ([], None, [], None)


async def test_a_loadout_reports_that_the_reranker_failed(app: App) -> None:
    await app.memories.store(SCOPE, NewMemory(BRIEF))
    gathered = await app.loadouts.gather(SCOPE, None, "find the boiler key")
    assert gathered.degraded is not None
    assert "reranker" in gathered.degraded


@pytest.mark.parametrize("named", [None, cross_encoder.NAME])
async def test_a_model_is_loaded_only_when_one_is_configured_and_a_question_needs_it(
    named: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross_encoder.install(home)
    loads: list[str] = []
    load = reranker._load

    def counted(name: str, folder: Path, threads: int | None) -> Any:
        loads.append(name)
        return load(name, folder, threads)

    monkeypatch.setattr(reranker, "_load", counted)
    async with running(assemble(Settings(home=home, reranker=named))) as app:
        await app.memories.store(SCOPE, NewMemory(BRIEF))
        await caught_up(app)
        assert (await app.memories.query(SCOPE, MemoryQuery())).total == 1
        assert loads == []
        [hit] = (await app.memories.query(SCOPE, MemoryQuery("boiler key"))).hits

    assert loads == ([] if named is None else [named])
    assert ("reranker" in hit.signals) == (named is not None)


async def test_every_answer_reports_a_reranker_that_fastembed_does_not_have(home: Path) -> None:
    async with running(assemble(Settings(home=home, reranker="no/such-model"))) as app:
        await app.memories.store(SCOPE, NewMemory(BRIEF))
        await caught_up(app)
        page = await app.memories.query(SCOPE, MemoryQuery("boiler key"))

    assert contents(page) == [BRIEF]
    assert page.degraded is not None
    assert page.degraded.startswith("MEMOS_RERANKER names a model that fastembed does not have: no/such-model.")
