from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import NewMemory


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
