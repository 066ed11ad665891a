"""Full-text search in every language, for every writer."""

from datetime import UTC, datetime

import pytest

from memos_mcp.domain.memory import MemoryFilter, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, ToolFilter
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.tools import PostgresTools
from tests.language_questions import FIRST_SHARE, LANGUAGES

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANY = MemoryFilter()
ANN = Scope("team", "ann")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_full_text_search_puts_the_right_statement_first(database: Database, language: str) -> None:
    memories, both = PostgresMemories(database), LANGUAGES[language]
    ids = [
        added.memory_id for added in await memories.add_many(ANN, [NewMemory(statement) for statement, _ in both], NOW)
    ]
    right = 0
    for memory_id, (_, question) in zip(ids, both, strict=True):
        found = await memories.text_search("team", question, ANY, 1, NOW, queued_only=True)
        right += [match.item_id for match in found] == [memory_id]
    assert right >= FIRST_SHARE * len(both) >= 36


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("エラー0x80070005です", "0x80070005"),
        ("黒猫がいる", "猫"),
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データ"),
        ("\uff21\uff22\uff23\uff11\uff12\uff13", "abc123"),
        ("고양이에게 약을 준다", "약"),
        ("포트 8443은 닫혔다", "8443"),
        ("Die Häuser sind verkauft", "Wo steht das Haus?"),
        ("Le cafe\u0301 est fermé", "café"),
        ("הבית נמכר", "בית"),
        ("ส้มตำ", "ตำ"),
        ("Υπάρχουν κλειδιά εδώ", "κλειδί"),
    ],
)
async def test_a_row_that_was_inserted_by_hand_is_found_in_another_form(
    database: Database, content: str, question: str
) -> None:
    async with database.everything.connection() as connection:
        statement = "INSERT INTO agent_memories (namespace, agent_id, content) VALUES ('team', 'ann', $1)"
        await connection.execute(statement, content)
    assert len(await PostgresMemories(database).text_search("team", question, ANY, 5, NOW, queued_only=False)) == 1


@pytest.mark.parametrize("text", ["The boilers of two boats", "café of the boss\u2019s son", "getComment(self)", ""])
async def test_a_text_in_english_has_the_words_of_english_alone(database: Database, text: str) -> None:
    async with database.everything.connection() as connection:
        same = "SELECT searchable_text($1) = to_tsvector('pg_catalog.english', $1)"
        assert await connection.fetchval(same, text)


async def test_a_tool_is_found_by_the_words_of_its_name_description_and_parameters(database: Database) -> None:
    tools = PostgresTools(database)
    schema = {"type": "object", "properties": {"city": {"description": "城市名称"}}}
    await tools.upsert("team", NewTool("w", "天气查询", "查询今天的气温", "https://e.example.com", schema), NOW)
    for question in ("天气", "今天气温多少", "名称"):
        assert len(await tools.text_search("team", question, ToolFilter(), 5, queued_only=True)) == 1


async def test_a_long_text_without_spaces_can_be_stored_and_is_found_by_its_beginning(database: Database) -> None:
    memories = PostgresMemories(database)
    content = "開始" + "".join(chr(0x4E00 + number * 7_919 % 20_000) for number in range(85_000))
    await memories.add(ANN, NewMemory(content), NOW)
    assert len(await memories.text_search("team", "開始", ANY, 5, NOW, queued_only=False)) == 1


async def test_words_are_computed_with_the_empty_search_path_of_a_restore(database: Database) -> None:
    async with database.everything.transaction() as connection:
        await connection.execute("SET LOCAL search_path = ''")
        assert await connection.fetchval("SELECT public.searchable_text($1)::text", "Häuser 服务器")
