from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import Labels, NewMemory


@pytest.mark.parametrize(
    ("new", "message"),
    [
        (NewMemory(" "), "content is empty"),
        (NewMemory("x" * (256 * 1024 + 1)), "256 KiB"),
        (NewMemory("x", tags=["t"] * 65), "tags has 65 entries"),
        (NewMemory("x", tags=["t" * 129]), "limit is 128"),
        (NewMemory("x", metadata={"a": "b" * 20_000}), "metadata has"),
        (NewMemory("x", session_id=""), "session_id is empty"),
        (NewMemory("x", occurred_at=datetime(2026, 5, 1)), "occurred_at has no time zone"),  # noqa: DTZ001 - the point
    ],
)
def test_a_memory_that_cannot_be_stored_is_refused_with_its_field(new: NewMemory, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        new.check()


@given(st.text(min_size=1, max_size=50))
def test_the_content_hash_depends_on_the_content_alone(text: str) -> None:
    assert NewMemory(text).content_hash == NewMemory(text, kind="document", tags=["t"]).content_hash
    assert NewMemory(text).content_hash != NewMemory(text + " ").content_hash


SOON, LATER = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("old", "new", "merged"),
    [(None, None, None), (None, SOON, None), (SOON, None, SOON), (SOON, LATER, LATER), (LATER, SOON, LATER)],
)
def test_of_two_expiries_the_later_one_counts_and_none_is_the_latest(
    old: datetime | None, new: datetime | None, merged: datetime | None
) -> None:
    labels = Labels("episodic", [], {}, 0.5, old)
    assert labels.merged(NewMemory("x", expires_at=new)).expires_at == merged


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abcd")))
def test_merged_tags_keep_their_order_and_gain_each_new_one_once(old: list[str], new: list[str]) -> None:
    tags = Labels("episodic", old, {}, 0.5, None).merged(NewMemory("x", tags=new)).tags
    assert tags[: len(old)] == old
    assert sorted(tags[len(old) :]) == sorted(set(new) - set(old))


def test_what_is_not_given_again_stays_as_before() -> None:
    labels = Labels("semantic", ["a"], {"n": 1}, 0.9, SOON)
    assert labels.merged(NewMemory("x")) == labels
