"""What the metadata of a memory says about several sources."""

from typing import Any

from memos_mcp.domain.source_metadata import also_in, seen_from, with_source, without_source

APP: dict[str, Any] = {"source": "app", "path": "a.py", "lines": [1, 2]}
FORK: dict[str, Any] = {"source": "fork", "path": "a.py", "lines": [5, 6], "encoding": "cp1252"}
IN_FORK: dict[str, Any] = {"source": "fork", "lines": [5, 6], "encoding": "cp1252"}
IN_APP: dict[str, Any] = {"source": "app", "lines": [1, 2]}
BOTH: dict[str, Any] = {**APP, "also_in": [IN_FORK]}


def test_a_second_source_is_added_with_what_is_its_own() -> None:
    assert with_source(APP, FORK) == BOTH
    assert with_source(BOTH, FORK) == BOTH


def test_a_source_changes_only_what_is_its_own() -> None:
    assert with_source(BOTH, {**APP, "lines": [3, 4]}) == {**BOTH, "lines": [3, 4]}
    moved = {"source": "fork", "path": "a.py", "lines": [7, 8]}
    assert with_source(BOTH, moved) == {**APP, "also_in": [{"source": "fork", "lines": [7, 8]}]}


def test_the_metadata_is_seen_from_any_of_the_sources() -> None:
    assert seen_from(BOTH, "fork") == {**FORK, "also_in": [IN_APP]}
    assert seen_from(seen_from(BOTH, "fork"), "app") == BOTH
    assert seen_from(BOTH, "app") is BOTH
    assert seen_from(BOTH, "lib") is BOTH


def test_the_last_remaining_source_is_named_alone() -> None:
    assert without_source(BOTH, ["app"]) == APP
    assert without_source(BOTH, ["fork"]) == FORK
    assert without_source(BOTH, ["app", "fork"]) == BOTH


def test_anything_that_a_client_stores_under_the_name_is_read() -> None:
    for value in (None, "app", 1, {"source": "app"}, ["app", 1, None, {}]):
        assert also_in({"also_in": value}) == []
