import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.retrieval import pagination

POSITIONS = st.lists(st.text() | st.integers(), max_size=4).map(tuple)
QUESTIONS = st.text(max_size=100).map(pagination.fingerprint)


@given(POSITIONS, QUESTIONS)
def test_a_cursor_is_decoded_for_its_own_question(position: tuple[str | int, ...], question: str) -> None:
    assert pagination.decode(pagination.encode(position, question), question) == position


@given(POSITIONS, QUESTIONS, QUESTIONS)
def test_a_cursor_of_another_question_is_refused(position: tuple[str | int, ...], one: str, other: str) -> None:
    if one != other:
        with pytest.raises(Invalid, match="does not belong to this question"):
            pagination.decode(pagination.encode(position, one), other)


@given(POSITIONS, QUESTIONS, st.data())
def test_a_changed_cursor_is_refused(position: tuple[str | int, ...], question: str, data: st.DataObject) -> None:
    whole = pagination.encode(position, question)
    index = data.draw(st.integers(0, len(whole) - 2))
    changed = whole[:index] + ("A" if whole[index] != "A" else "B") + whole[index + 1 :]

    with pytest.raises(Invalid):
        pagination.decode(changed, question)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        pagination.decode(text, pagination.fingerprint("anything"))


@given(POSITIONS, QUESTIONS)
def test_a_cursor_needs_no_escaping_in_json_or_a_url(position: tuple[str | int, ...], question: str) -> None:
    text = pagination.encode(position, question)

    assert text.isascii()
    assert all(character.isalnum() or character in "-_" for character in text)


@given(st.dictionaries(st.text(), st.integers()))
def test_a_fingerprint_does_not_depend_on_the_order_of_a_mapping(mapping: dict[str, int]) -> None:
    turned = dict(reversed(list(mapping.items())))

    assert pagination.fingerprint("text", mapping, 10) == pagination.fingerprint("text", turned, 10)


def test_a_fingerprint_distinguishes_a_missing_part_from_an_empty_one() -> None:
    questions: list[tuple[object, ...]] = [(None,), ("",), ((),), ("None",), (None, None), ({},), (0,), (False,)]

    assert len({pagination.fingerprint(*parts) for parts in questions}) == len(questions)
