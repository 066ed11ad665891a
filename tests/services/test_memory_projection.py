from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.chunk import title_of
from memos_mcp.domain.index import FIELDS, Entry, Group, IndexFilter, Passage, Span, WeightedText
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryKind
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.row_states import PostgresMemoryRows
from memos_mcp.retrieval.context import REACH
from memos_mcp.services.projections import MemoryProjection, group_of, memory_filter

NOW = datetime(2026, 5, 1, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2026, 4, 30), datetime(2026, 5, 2), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
NOWHERE = Database("postgresql://nobody@nowhere/none")
PROJECTION = MemoryProjection(PostgresMemories(NOWHERE), PostgresMemoryRows(NOWHERE, REACH))
KINDS: Sequence[MemoryKind] = ("episodic", "semantic", "procedural", "document")
LABELS = st.lists(st.sampled_from("abc"), max_size=3)
METADATA = st.dictionaries(st.sampled_from("kl"), st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2))
MEMORIES = st.builds(
    Memory,
    memory_id=st.just(UUID(int=1)),
    namespace=st.just("here"),
    agent_id=st.sampled_from("xy"),
    content=st.just("text"),
    kind=st.sampled_from(KINDS),
    tags=LABELS,
    metadata=METADATA,
    importance=st.just(0.5),
    session_id=st.none() | st.sampled_from("st"),
    occurred_at=MOMENTS,
    created_at=st.just(NOW),
    expires_at=st.none() | MOMENTS,
    version=st.just(1),
    sequence=st.just(1),
)
FILTERS = st.builds(
    MemoryFilter,
    kind=st.none() | st.sampled_from(KINDS),
    tags=st.none() | LABELS,
    metadata=st.none() | METADATA,
    session_id=st.none() | st.sampled_from("st"),
    agent_id=st.none() | st.sampled_from("xy"),
    since=st.none() | MOMENTS,
    until=st.none() | MOMENTS,
)


def contains(whole: Any, part: Any) -> bool:
    """Whether `whole @> part` holds for documents as flat as those above."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], child) for key, child in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and set(part) <= set(whole)
    return bool(whole == part)


def admits(filter: MemoryFilter, memory: Memory) -> bool:
    """Whether the record would return this memory."""
    exact = ((filter.kind, memory.kind), (filter.session_id, memory.session_id), (filter.agent_id, memory.agent_id))
    return (
        all(wanted is None or wanted == value for wanted, value in exact)
        and set(filter.tags or ()) <= set(memory.tags)
        and contains(memory.metadata, filter.metadata or {})
        and (filter.since is None or filter.since <= memory.occurred_at)
        and (filter.until is None or memory.occurred_at <= filter.until)
        and (memory.expires_at is None or memory.expires_at > NOW)
    )


def matches(condition: IndexFilter, point: Entry) -> bool:
    """Whether the index would propose this point, by the words of the port."""
    numbers = point.numbers
    return (
        condition.namespace == point.namespace
        and all(set(words) <= set(point.words.get(name, ())) for name, words in condition.has_all.items())
        and all(name in numbers and numbers[name] >= bound for name, bound in condition.at_least.items())
        and all(name in numbers and numbers[name] <= bound for name, bound in condition.at_most.items())
        and all(name not in numbers or numbers[name] > bound for name, bound in condition.not_expired_by.items())
    )


@given(FILTERS, MEMORIES)
def test_the_index_filter_admits_every_memory_that_the_record_admits(filter: MemoryFilter, memory: Memory) -> None:
    if admits(filter, memory):
        assert matches(memory_filter("here", filter, NOW), PROJECTION.entry(memory, None, []))


@given(FILTERS, MEMORIES)
def test_without_metadata_the_index_and_the_record_agree(filter: MemoryFilter, memory: Memory) -> None:
    if not filter.metadata:
        assert matches(memory_filter("here", filter, NOW), PROJECTION.entry(memory, None, [])) == admits(filter, memory)


@given(MEMORIES)
def test_a_point_of_another_namespace_never_matches(memory: Memory) -> None:
    assert not matches(memory_filter("elsewhere", MemoryFilter(), NOW), PROJECTION.entry(memory, None, []))


@given(FILTERS, MEMORIES)
def test_only_declared_fields_are_stored_and_filtered(filter: MemoryFilter, memory: Memory) -> None:
    point, condition = PROJECTION.entry(memory, None, []), memory_filter("here", filter, NOW)

    assert {*point.words, *condition.has_all} <= set(FIELDS["memory"].words)
    assert {*point.numbers, *condition.at_least, *condition.at_most, *condition.not_expired_by} <= set(
        FIELDS["memory"].numbers
    )


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2023, 5, 8, 23, 59, tzinfo=UTC), "8 May 2023"),
        (datetime(2026, 12, 31, tzinfo=UTC), "31 December 2026"),
    ],
)
@given(memory=MEMORIES)
def test_a_passage_is_found_by_its_words_and_by_its_written_date(memory: Memory, moment: datetime, day: str) -> None:
    assert PROJECTION.lexical_text(replace(memory, occurred_at=moment), "a part of it") == f"{day}\na part of it"


FILE = {"source": "app", "path": "a.py"}


@pytest.mark.parametrize(
    ("kind", "metadata", "title"),
    [
        ("document", FILE | {"symbol": "Cart.total"}, "a.py\nCart.total"),
        ("document", FILE, ""),
        ("document", {"path": 1, "symbol": "Cart"}, ""),
        ("semantic", FILE | {"symbol": "Cart.total"}, ""),
    ],
)
@given(memory=MEMORIES)
def test_the_title_of_a_definition_is_its_path_and_its_names(
    memory: Memory, kind: MemoryKind, metadata: dict[str, Any], title: str
) -> None:
    assert title_of(replace(memory, kind=kind, metadata=metadata)) == title


@given(MEMORIES)
def test_a_definition_is_also_found_by_the_words_of_its_title_alone(memory: Memory) -> None:
    chunk = replace(memory, kind="document", metadata=FILE | {"symbol": "total"})
    passage = Passage(Span(0, 1), np.zeros(3, np.float32), [WeightedText("a.py\n\nx = 1")])
    [found] = PROJECTION.entry(chunk, None, [passage]).passages
    assert found.weighted_texts == [WeightedText("a.py\n\nx = 1"), WeightedText("a.py\ntotal")]


@given(MEMORIES, MEMORIES)
def test_only_chunks_of_the_same_file_are_in_its_group(one: Memory, other: Memory) -> None:
    def group(memory: Memory, **metadata: str) -> Group | None:
        return group_of(replace(memory, session_id=None, kind="document", metadata=FILE | metadata))

    assert group(one) == group(other) is not None
    assert len({group(one), group(other, path="b.py"), group(other, source="lib")}) == 3
    named = group(one, path="ext/todo_list.py")
    assert named is not None
    assert named.words == "list todo"


@given(MEMORIES, MEMORIES)
def test_only_messages_of_the_same_session_are_in_its_group(one: Memory, other: Memory) -> None:
    groups = [group_of(replace(memory, session_id=session)) for memory in (one, other) for session in "st"]
    assert groups == groups[:2] * 2
    assert groups[0] != groups[1]


@pytest.mark.parametrize(
    "changes",
    [{"metadata": {}}, {"metadata": {"path": "a.py"}}, {"metadata": FILE | {"path": 1}}, {"kind": "episodic"}],
)
@given(memory=MEMORIES)
def test_a_memory_without_session_that_names_no_file_is_in_no_group(memory: Memory, changes: dict[str, Any]) -> None:
    assert group_of(replace(memory, **{"session_id": None, "kind": "document", "metadata": FILE} | changes)) is None
