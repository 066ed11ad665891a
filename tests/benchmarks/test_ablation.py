"""The variants of `benchmarks/quality --ablation`, and the table of their differences."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

import anyio
import numpy as np
import pytest
from quality.ablation import Index, InProcessShards, table
from quality.plans import Plan
from quality.variants import (
    FULL,
    INDEX,
    LANES,
    RANKING,
    by_rank,
    divided_by_best,
    min_max_scaled,
    on_two_lines,
    parameters_only,
    proposals,
    without_parameters,
)

from memos_mcp.domain.index import (
    Entry,
    IndexFilter,
    IndexQuery,
    ItemState,
    Lanes,
    Match,
    Passage,
    Shape,
    Span,
    WeightedText,
)
from memos_mcp.domain.memory import Memory
from memos_mcp.domain.tool import Tool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.row_states import PostgresMemoryRows, PostgresToolRows
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.retrieval.context import REACH
from memos_mcp.services.projections import MemoryProjection, ToolProjection, tool_text

NOWHERE = Database("postgresql://nobody@nowhere/none")
WHERE = IndexFilter("default")
VARIANTS = {variant.name: variant for variant in (FULL, *LANES, *RANKING, *INDEX)}


@pytest.fixture
def in_process_shards() -> Iterator[None]:
    with patch("memos_mcp.qdrant.edge.launcher.WorkerHandle", InProcessShards):
        yield


def test_every_variant_has_a_unique_name_and_parts_that_the_product_has() -> None:
    assert len(VARIANTS) == len([FULL, *LANES, *RANKING, *INDEX])
    for variant in VARIANTS.values():
        with variant.applied():
            pass


@pytest.mark.anyio
@pytest.mark.usefixtures("in_process_shards")
async def test_a_variant_replaces_a_part_that_the_product_runs_in_the_index_process(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        assert await found(tmp_path / "whole", "HTMLTheme", "theme") == [UUID(int=1)]
        with VARIANTS["no CamelCase words cut"].applied():
            assert await found(tmp_path / "without", "HTMLTheme", "theme") == []


@pytest.mark.anyio
@pytest.mark.usefixtures("in_process_shards")
async def test_the_lanes_of_a_question_are_kept_until_the_next_one(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        index = Index(tmp_path)
        await index.open(Shape("m", 2))
        question = [IndexQuery("blue", None)]
        assert (await index.search("tool", question, WHERE, 5))[0].bm25 == []
        await index.put("tool", [entry("blue")])
        assert (await index.search("tool", question, WHERE, 5))[0].bm25 == []
        index.next_question()
        assert [match.item_id for match in (await index.search("tool", question, WHERE, 5))[0].bm25] == [UUID(int=1)]
        await index.close()


def test_variants_transform_the_scores_of_the_lanes() -> None:
    lanes = Lanes(dense=[match(1, 0.8), match(2, 0.4), match(3, 0.2)], bm25=[match(3, 10.0), match(2, 5.0)])
    assert scores(proposals(lanes, 2)) == ([0.8, 0.4], [10.0, 5.0])
    assert scores(divided_by_best(lanes, 2)) == ([1.0, 0.5, 0.25], [1.0, 0.5])
    assert scores(min_max_scaled(lanes, 2)) == ([1.0, 0.0], [1.0, 0.5])
    assert scores(by_rank(lanes, 2)) == ([1 / 61, 1 / 62, 1 / 63], [1 / 61, 1 / 62])


def test_variants_replace_the_texts_of_a_tool() -> None:
    schema = {"description": "Server: S.", "properties": {"city": {"description": "Where."}}}
    tool = Tool(UUID(int=1), "default", "weather", "weather", "Reports.", "https://x.example", schema, None, (), 1, 1)
    projection = ToolProjection(PostgresTools(NOWHERE), PostgresToolRows(NOWHERE))
    assert projection.lexical_text(tool, "") == "weather: Reports.\nServer: S.\ncity: Where."
    assert without_parameters(projection, tool, "") == "weather: Reports.\nServer: S."
    assert parameters_only(projection, tool) == "weather: Reports.\ncity: Where."
    assert on_two_lines(projection, tool) == "weather\nReports."
    assert tool_text(tool) == "weather: Reports."


def test_a_memory_without_the_words_of_its_neighbours_keeps_its_own() -> None:
    time = datetime(2024, 1, 2, tzinfo=UTC)
    memory = Memory(UUID(int=1), "n", "a", "Yes.", "episodic", (), {}, 0.5, None, time, time, None, 1, 1)
    vector = np.ones(1, np.float32)
    passage = Passage(Span(0, 4), vector, [WeightedText("Yes."), WeightedText("Is it blue?", 0.6)])
    projection = MemoryProjection(PostgresMemories(NOWHERE), PostgresMemoryRows(NOWHERE, REACH))
    with VARIANTS["no words of neighbours"].applied():
        own = Passage(Span(0, 4), vector, [WeightedText("Yes.")])
        assert projection.entry(memory, None, [passage]).passages == [own]
    assert projection.entry(memory, None, [passage]).passages == [passage]


def test_the_table_shows_each_difference_and_how_much_of_it_may_be_chance() -> None:
    figures = {
        FULL.name: [{"nDCG@10": 1.0}, {"nDCG@10": 0.5}],
        "less": [{"nDCG@10": 0.5}, {"nDCG@10": 0.5}],
        "other": [{"nDCG@10": 0.5}, {"nDCG@10": 1.0 - 1e-9}],
    }
    lines = list(table(Plan("set", "set", tools=True, questions=[]), figures))
    assert lines == [
        "| set, n = 2 | nDCG@10 | difference |",
        "|---|---:|---:|",
        "| the product | 75.0 | 0 |",
        "| less | 50.0 | -25.0 ± 49.0 |",
        "| other | 75.0 | +0.0 ± 98.0 |",
    ]


async def found(folder: Path, text: str, question: str) -> list[UUID]:
    """Return the items that a new index with this text finds by the question's words."""
    index = Index(folder)
    await index.open(Shape("m", 2))
    await index.put("tool", [entry(text)])
    (lanes,) = await index.search("tool", [IndexQuery(question, None)], WHERE, 5)
    await index.close()
    return [match.item_id for match in lanes.bm25]


def entry(text: str) -> Entry:
    return Entry(
        UUID(int=1),
        1,
        ItemState(1),
        "default",
        [Passage(Span(0, len(text)), np.array([1.0, 0.0], np.float32), [WeightedText(text)])],
    )


def match(number: int, score: float) -> Match:
    return Match(str(UUID(int=number)), score, Span(0, 1))


def scores(lanes: Lanes) -> tuple[list[float], list[float]]:
    return [one.score for one in lanes.dense], [one.score for one in lanes.bm25]
