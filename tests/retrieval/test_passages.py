import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Span
from memos_mcp.retrieval.passages import OVERLAP, passages

TEXTS = st.lists(
    st.sampled_from(["word", "Ende.", "é", "。", "!", "\n", "\n\n", " ", "  ", "(", "x" * 30, "-", "\u200b"]),
    max_size=120,
).map("".join)
WINDOWS = st.integers(min_value=1, max_value=40)


def words(text: str) -> list[Span]:
    return [Span(*found.span()) for found in re.finditer(r"\w{1,8}|[^\w\s\u200b]", text)]


def inside(tokens: list[Span], span: Span) -> list[Span]:
    return [token for token in tokens if span.start <= token.start and token.end <= span.end]


@given(TEXTS, WINDOWS)
def test_every_token_is_in_a_passage_and_no_passage_exceeds_the_window(text: str, window: int) -> None:
    tokens = words(text)

    spans = passages(text, tokens, window)

    assert {token for span in spans for token in inside(tokens, span)} == set(tokens)
    assert all(len(inside(tokens, span)) <= window for span in spans)


@given(TEXTS, WINDOWS)
def test_passages_are_in_order_and_inside_the_text(text: str, window: int) -> None:
    spans = passages(text, words(text), window)

    assert all(0 <= span.start <= span.end <= len(text) for span in spans)
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(spans))


@given(TEXTS, WINDOWS)
def test_neighbouring_passages_share_at_most_the_overlap(text: str, window: int) -> None:
    tokens = words(text)
    spans = passages(text, tokens, window)

    for a, b in pairwise(spans):
        shared = set(inside(tokens, a)) & set(inside(tokens, b))
        assert len(shared) <= OVERLAP * window


@given(TEXTS, WINDOWS)
def test_no_visible_character_between_the_first_and_the_last_is_left_out(text: str, window: int) -> None:
    covered = {index for span in passages(text, words(text), window) for index in range(*span)}

    assert all(index in covered for index, character in enumerate(text) if not character.isspace())


@given(TEXTS)
def test_a_text_that_fits_is_one_span_of_all_of_it(text: str) -> None:
    tokens = words(text)

    assert passages(text, tokens, max(len(tokens), 1)) == [Span(0, len(text))]


@given(st.integers(min_value=1, max_value=60), WINDOWS)
def test_tokens_that_share_a_character_do_not_prevent_a_cut(count: int, window: int) -> None:
    text = "🦜" * count
    tokens = [Span(index // 3, index // 3 + 1) for index in range(3 * count)]

    spans = passages(text, tokens, window)

    assert spans[0].start == 0
    assert spans[-1].end == len(text)
    assert all(b.start <= a.end for a, b in pairwise(spans))


def test_a_character_of_several_tokens_is_not_cut_when_there_is_another_boundary() -> None:
    tokens = [Span(index // 2, index // 2 + 1) for index in range(20)]

    spans = passages("🦜" * 10, tokens, 7)

    assert all(sum(span.start <= token.start < span.end for token in tokens) <= 7 for span in spans)


def test_a_cut_prefers_the_end_of_a_paragraph_to_that_of_a_line_a_sentence_or_a_word() -> None:
    for seam, rest in (("\n\n", "a.\nb c d"), ("\n", "a. b c d e"), (". ", "a b c d e"), (" ", "-b-c")):
        text = "one two three four five six seven" + seam + rest + " and then some more words to add"

        first = passages(text, words(text), 10)[0]

        assert text[first.start : first.end] == ("one two three four five six seven" + seam).rstrip()


def test_a_passage_starts_with_a_sentence_when_the_overlap_holds_one() -> None:
    text = "w " * 88 + "w. Here the last thought begins and it ends here. " + "w " * 60

    first, second = passages(text, words(text), 100)

    assert text[first.start : first.end].endswith("ends here.")
    assert text[second.start :].startswith("Here the last")
