"""The BM25 lane alone finds statements by questions in their language."""

import pytest

from memos_mcp.domain.index import IndexFilter, VectorIndex
from tests.language_questions import FIRST_SHARE, LANGUAGES
from tests.qdrant.conftest import SERVERS
from tests.qdrant.samples import bm25, entry, search

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:Payload indexes have no effect")]

OURS = IndexFilter("ours")


@pytest.mark.parametrize("language", LANGUAGES)
async def test_words_alone_put_the_right_statement_first(index: VectorIndex, language: str) -> None:
    both = LANGUAGES[language]
    await index.put("memory", [entry(number, statement) for number, (statement, _) in enumerate(both)])
    found = [bm25(await search(index, "memory", question, None, OURS, 5))[:1] for _, question in both]
    right = sum(first == [number] for number, first in enumerate(found))
    assert right >= FIRST_SHARE * len(both) >= 36


@pytest.mark.parametrize("index", ["edge", pytest.param("local", marks=pytest.mark.slow), *SERVERS], indirect=True)
async def test_a_statement_is_found_among_those_in_all_other_languages(index: VectorIndex) -> None:
    both = [pair for pairs in LANGUAGES.values() for pair in pairs]
    await index.put("memory", [entry(number, statement) for number, (statement, _) in enumerate(both)])
    found = [bm25(await search(index, "memory", question, None, OURS, 5))[:1] for _, question in both]
    assert sum(first == [number] for number, first in enumerate(found)) >= FIRST_SHARE * len(both)
