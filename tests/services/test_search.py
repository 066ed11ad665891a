"""Questions find by sentences, days, the parts of identifiers and the words of a tool's schema."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from memos_mcp.app import App, running
from memos_mcp.domain.index import IndexFilter, Match, Span
from memos_mcp.domain.memory import MemoryPage, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolFilter, ToolQuery
from memos_mcp.retrieval import pagination
from memos_mcp.services.search import MIN_CANDIDATES, Search
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")


def contents(page: MemoryPage) -> list[str]:
    return [hit.memory.content for hit in page.hits]


async def test_a_question_of_several_sentences_finds_answers_to_the_second_one(app: App) -> None:
    about_both = "our boat was late at the harbour and grandma in the cellar"
    about_one = "grandma put the old lantern in the cellar"
    await app.memories.store_many(SCOPE, [NewMemory(about_both), NewMemory(about_one), NewMemory("the cat sleeps")])
    await caught_up(app)
    question = "today our boat was very late at the harbour, as it always was{} where has grandma put the old lantern?"
    in_one = await app.memories.query(SCOPE, MemoryQuery(question.format(" and")))
    in_two = await app.memories.query(SCOPE, MemoryQuery(question.format(".")))
    assert contents(in_one)[0] == about_both
    assert contents(in_two)[0] == about_one
    assert "part" not in in_one.hits[0].signals
    assert in_two.hits[0].signals["part"] > in_two.hits[0].signals["dense"]


async def test_a_question_and_its_sentences_are_embedded_in_one_batch(app: App, embedder: HashEmbedder) -> None:
    await app.memories.query(SCOPE, MemoryQuery("Where is the boat? Who has the key to it? Why?"))
    assert embedder.queries_embedded == 3


async def test_an_answer_to_many_sentences_continues_to_its_end(app: App) -> None:
    fruits = [f"{fruit} number {number}" for fruit in ("apple", "pear", "plum", "fig") for number in range(45)]
    await app.memories.store_many(SCOPE, [NewMemory(fruit) for fruit in fruits])
    await caught_up(app)
    query = MemoryQuery("show each apple now. show each pear now. show each plum now. show each fig now.", limit=12)
    pages, where = [], None
    for _ in fruits:
        page = await app.memories.query(SCOPE, MemoryQuery(query.text, limit=query.limit, cursor=where))
        pages.append(page)
        if not page.more:
            break
        where = pagination.encode(page.hits[-1].position, page.fingerprint)
    seen = [content for page in pages for content in contents(page)]
    assert len(seen) == len(set(seen)) == pages[0].total > MIN_CANDIDATES
    assert {fruit.split()[0] for fruit in seen} == {"apple", "pear", "plum", "fig"}


async def test_equal_chunks_are_ordered_by_the_other_chunks_of_their_files(app: App) -> None:
    def chunk(path: str, content: str) -> NewMemory:
        return NewMemory(content, kind="document", metadata={"source": "app", "path": path})

    for path, mark in (("one", "."), ("two", "!"), ("three", "?")):  # marks are no words: else equal texts are one
        others = "the lantern is lit" if path == "two" else "nothing of the kind"
        texts = [f"how the lantern is lit{mark}", *(f"{others}{mark * times}" for times in range(1, 5))]
        await app.memories.store_many(SCOPE, [chunk(path, text) for text in texts])
    await caught_up(app)
    first, *_ = (await app.memories.query(SCOPE, MemoryQuery("how is the lantern lit?"))).hits
    assert first.memory.content == "how the lantern is lit!"
    assert first.signals["document"] > 0


async def test_a_memory_that_is_queued_again_keeps_its_rank_and_a_new_one_is_found_by_its_words(idle_app: App) -> None:
    async with running(idle_app) as app:
        await app.memories.store_many(SCOPE, [NewMemory("the heron stood at the lake"), NewMemory("a lake in winter")])
        await caught_up(app)
        settled = await app.memories.query(SCOPE, MemoryQuery("heron at the lake"))
    search = Search(app.index, HashEmbedder(), app.indexer)
    await app.index.open(await HashEmbedder().shape())
    new, known = uuid4(), settled.hits[-1].memory.memory_id

    async def text_search(limit: int, *, queued_only: bool) -> list[Match]:
        assert queued_only
        return [Match(str(known), 0.9, Span(0, 5)), Match(str(new), 0.3, Span(0, 5))][:limit]

    where = IndexFilter(SCOPE.namespace)
    found = await search.candidates("memory", "heron at the lake", where, 50, text_search)
    await app.index.close()
    assert [hit.item_id for hit in found.ranked if hit.item_id != new] == [hit.memory.memory_id for hit in settled.hits]
    assert {hit.item_id for hit in found.ranked if "text" in hit.signals} == {new}


async def test_a_memory_is_found_by_its_day(app: App) -> None:
    days = [datetime(2023, 5, day, 9, tzinfo=UTC) for day in range(1, 32)] + [datetime(2022, 8, 8, 9, tzinfo=UTC)]
    met = [NewMemory(f"we met at the office{'.' * number}", occurred_at=day) for number, day in enumerate(days)]
    await app.memories.store_many(SCOPE, met)
    await caught_up(app)
    page = await app.memories.query(SCOPE, MemoryQuery("who met on 8 May 2023?"))
    assert f"{page.hits[0].memory.occurred_at:%F}" == "2023-05-08"
    assert page.hits[0].signals["dense"] == page.hits[1].signals["dense"]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("PostgresIndexQueue loses its lease", "postgres queue"),
        ("the index queue of postgres loses its lease", "PostgresIndexQueue"),
        ("HTTPServerError is raised on start", "which server error is it"),
    ],
)
async def test_an_identifier_is_found_by_its_parts_and_its_parts_by_it(app: App, stored: str, asked: str) -> None:
    await app.memories.store(SCOPE, NewMemory("a boat is moored at the lake"))
    await app.memories.store(SCOPE, NewMemory(stored))
    page = await app.memories.query(SCOPE, MemoryQuery(asked))
    assert [hit.memory.content for hit in page.hits if "bm25" in hit.signals] == [stored]


@pytest.mark.parametrize(
    "asked",
    ["departure harbour", "harbour", "berthNumber", "berth number", "seafarers almanac", "in knots", "Nautical"],
    ids=["its parameter", "a word", "a name", "its parts", "its schema", "a nested parameter", "the title"],
)
async def test_a_tool_is_found_by_the_words_of_its_schema(app: App, asked: str) -> None:
    schema = {
        "title": "Nautical server",
        "description": "The almanac for seafarers",
        "type": "object",
        "properties": {
            "from": {"type": "string", "description": "The harbour of departure"},
            "berthNumber": {"type": "integer"},
            "ship": {"type": "object", "properties": {"speed": {"type": "number", "description": "In knots"}}},
        },
    }
    for tool in (
        NewTool("tide.times", "Tides", "Show high and low water", "https://e.example.com", schema),
        NewTool("mail.send", "Mail", "Send a letter to someone", "https://e.example.com"),
    ):
        await app.tools.register(SCOPE, tool)
    page = await app.tools.discover(SCOPE, ToolQuery([asked]))
    assert [hit.tool.tool_id for hit in page.hits if "bm25" in hit.signals] == ["tide.times"]


async def test_an_answer_is_confident_when_a_memory_is_near_and_not_when_none_is(app: App) -> None:
    await app.memories.store_many(SCOPE, [NewMemory("the boiler key hangs in the pantry"), NewMemory("rain all day")])
    await caught_up(app)
    for question, confident in (("the boiler key in the pantry", True), ("invoices of last year", False), (None, None)):
        assert (await app.memories.query(SCOPE, MemoryQuery(question))).confident is confident, question


SURE = "ferry timetable harbour departures tides quays berths pilots cargo lighthouse moorings customs"


async def register_topics(app: App) -> None:
    for topic in (SURE, "invoice payment export", "weather station alarm", "garden watering plan"):
        name = topic.split()[2]
        await app.tools.register(SCOPE, NewTool(name, name.title(), topic, "https://e.example.com"))


async def test_tools_are_confident_when_the_first_for_every_need_is_sure_or_named(app: App) -> None:
    await register_topics(app)
    for needs, confident in (
        ([SURE], True),
        ([SURE, "mend a bicycle tyre"], None),
        (["mend a bicycle tyre"], None),
        (["EXPORT"], True),
        (["export", SURE], True),
        (["export", "mend a bicycle tyre"], None),
        ([], None),
    ):
        assert (await app.tools.discover(SCOPE, ToolQuery(needs))).confident is confident, needs


async def test_confidence_is_false_only_where_no_tool_is_admitted(app: App) -> None:
    assert (await app.tools.discover(SCOPE, ToolQuery(["mend a bicycle tyre"]))).confident is False
    tool = NewTool("plan", "Plan", "garden watering plan", "https://e.example.com", required_capabilities=["water"])
    await app.tools.register(SCOPE, tool)
    dry, wet = ToolFilter(agent_has=[]), ToolFilter(agent_has=["water"])
    assert (await app.tools.discover(SCOPE, ToolQuery(["mend a bicycle tyre"], dry))).confident is False
    assert (await app.tools.discover(SCOPE, ToolQuery(["mend a bicycle tyre"], wet))).confident is None


async def test_confidence_is_unknown_when_only_words_were_searched(app: App, index: DownIndex) -> None:
    await app.memories.store(SCOPE, NewMemory("the boiler key hangs in the pantry"))
    await app.tools.register(SCOPE, NewTool("ferry", "Ferry", "Book a ferry", "https://e.example.com"))
    index.down = True
    assert (await app.memories.query(SCOPE, MemoryQuery("boiler key"))).confident is None
    assert (await app.tools.discover(SCOPE, ToolQuery(["book a passage"]))).confident is None
    assert (await app.tools.discover(SCOPE, ToolQuery(["ferry"]))).confident is True


async def test_confidence_is_unknown_when_the_model_cannot_read_the_script(app: App, embedder: HashEmbedder) -> None:
    embedder.unread = frozenset("猫在哪里")
    await app.memories.store(SCOPE, NewMemory("猫 在 床上"))
    await app.tools.register(SCOPE, NewTool("ferry", "Ferry", "Book a ferry", "https://e.example.com"))
    page = await app.memories.query(SCOPE, MemoryQuery("猫 在 哪里"))
    assert (contents(page), page.confident, page.degraded) == (["猫 在 床上"], None, None)
    assert (await app.memories.query(SCOPE, MemoryQuery("cat"))).confident is False
    assert (await app.tools.discover(SCOPE, ToolQuery(["猫"]))).confident is None
    assert (await app.tools.discover(SCOPE, ToolQuery(["ferry", "猫"]))).confident is None
    for needs, judged in ((["mend a tyre", "猫"], False), (["mend a tyre"], True)):
        tools = await app.tools.discover(SCOPE, ToolQuery(needs))
        assert (tools.confident, tools.judged) == (None, judged)
