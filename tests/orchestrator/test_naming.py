import re

from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.orchestrator.naming import function_names


@given(st.sets(st.one_of(st.text(), st.text(alphabet="ab._- ", min_size=1, max_size=4), st.text("a", min_size=60))))
def test_every_tool_has_a_unique_legal_name(tool_ids: set[str]) -> None:
    names = function_names(tool_ids)
    assert set(names) == tool_ids
    assert len(set(names.values())) == len(tool_ids)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names.values())


def test_a_legal_id_is_its_name_and_other_names_are_readable() -> None:
    assert function_names(["todo_add", "web.search"]) == {"todo_add": "todo_add", "web.search": "web_search"}


def test_ids_that_would_have_the_same_name_get_different_ones() -> None:
    names = function_names(["a.b", "a_b", "a b"])
    assert names["a_b"] == "a_b"
    assert len(set(names.values())) == 3
