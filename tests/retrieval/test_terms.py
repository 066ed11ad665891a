from time import perf_counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.qdrant.bm25 import join_snake_case, split_camel_case
from memos_mcp.retrieval.terms import metadata_terms, split_identifier
from tests.json_objects import OBJECTS


@st.composite
def part_of(draw: st.DrawFn, whole: Any) -> Any:
    """Draw something that the whole contains in the sense of jsonb's `@>`."""
    if isinstance(whole, dict):
        return {key: draw(part_of(child)) for key, child in whole.items() if draw(st.booleans())}
    if isinstance(whole, list):
        kept = [draw(part_of(child)) for child in whole if draw(st.booleans())]
        return draw(st.permutations(kept)) if kept else kept
    if isinstance(whole, float) and whole.is_integer() and abs(whole) < 1e15:
        return draw(st.sampled_from([whole, int(whole)]))
    return whole


@given(OBJECTS, st.data())
def test_the_terms_of_a_part_are_among_the_terms_of_the_whole(whole: dict[str, Any], data: st.DataObject) -> None:
    part = data.draw(part_of(whole))

    assert set(metadata_terms(part)) <= set(metadata_terms(whole))


def test_terms_distinguish_values_types_keys_and_paths() -> None:
    objects: list[dict[str, Any]] = [
        {"a": 1}, {"a": "1"}, {"a": True}, {"a": None}, {"b": 1}, {"a": [1]}, {"a": {"a": 1}}, {"a": [[1]]},
        {"a.b": 1}, {"a": {"b": 1}}, {"a": 1.5}, {"a[]": 1},
    ]  # fmt: skip

    assert len({tuple(metadata_terms(one)) for one in objects}) == len(objects)


def test_terms_are_the_same_for_equal_numbers_and_any_order_in_a_list() -> None:
    assert metadata_terms({"a": [1, 2.0]}) == metadata_terms({"a": [2, 1.0, 1]})


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("getUser_by-ID", "getUser_by-ID get User by ID"),
        ("listURLs", "listURLs list URLs"),
        ("HTTPServerError", "HTTPServerError HTTP Server Error"),
        ("list_files", "list_files list files"),
        ("github.issues/create:v2", "github.issues/create:v2 github issues create v2"),
        ("oauth2Token", "oauth2Token oauth2 Token"),
        ("weather", "weather"),
        ("Send an e-mail", "Send an e-mail Send an e mail"),
        ("___", "___ "),
    ],
)
def test_an_identifier_is_followed_by_its_parts(identifier: str, words: str) -> None:
    assert split_identifier(identifier).split() == words.split()


@given(st.text(max_size=40))
def test_splitting_loses_no_letter_and_no_digit(identifier: str) -> None:
    split = split_identifier(identifier)

    assert split.startswith(identifier)
    rest = split[len(identifier) :]
    letters = [character for character in identifier if character.isalnum()]
    assert not rest or [character for character in rest if character.isalnum()] == letters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getUserById", "getUserById get User By Id"),
        ("see HTMLTheme here", "see HTMLTheme HTML Theme here"),
        ("oauth2Token", "oauth2Token oauth2 Token"),
        ("PostgresIndexQueue.claim", "PostgresIndexQueue Postgres Index Queue.claim"),
        ("isIOS and URLs", "isIOS is IOS and URLs"),
        ("snake_case, CONSTANT_CASE, Capital", "snake_case, CONSTANT_CASE, Capital"),
        ("plain words of 2026", "plain words of 2026"),
        ("", ""),
    ],
)
def test_a_camel_case_word_is_followed_by_its_parts(text: str, expected: str) -> None:
    assert split_camel_case(text) == expected


@given(st.text() | st.text(alphabet="abAB1 _."))
def test_splitting_camel_case_keeps_every_word_and_adds_only_parts(text: str) -> None:
    rest = iter(split_camel_case(text))

    assert all(character in rest for character in text)
    assert set(split_camel_case(text)) <= {*text, " "}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set max_age, MAX_AGE", "set max_age maxage, MAX_AGE MAXAGE"),
        ("self._close_all_()", "self._close_all closeall_()"),
        ("_private __dunder__ trailing_ __ _", "_private __dunder__ trailing_ __ _"),
        ("plain words of 2026", "plain words of 2026"),
        ("", ""),
    ],
)
def test_a_snake_case_word_is_followed_by_its_joined_form(text: str, expected: str) -> None:
    assert join_snake_case(text) == expected


@pytest.mark.parametrize("letters", ["a", "A", "7f", "aB", "🦜", "_", "a_", "a__b"])
def test_a_very_long_word_is_split_and_joined_quickly(letters: str) -> None:
    began = perf_counter()

    join_snake_case(split_camel_case(letters * (30_000 // len(letters))))

    assert perf_counter() - began < 2
