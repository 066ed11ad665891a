import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.retrieval.sentences import MAX_SENTENCES, sentences

QUESTIONS = st.text() | st.text(alphabet="ab .?!;。\n…")


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        ("Where is the boat? Who rowed it home!", ["Where is the boat?", "Who rowed it home!"]),
        ("Find the old map; then draw it anew.", ["Find the old map;", "then draw it anew."]),
        ("It rained all day… Did the roof hold?", ["It rained all day…", "Did the roof hold?"]),
        ("list the open files\nclose the old ones", ["list the open files", "close the old ones"]),
        ("one short line here\r\n\r\n  and another one there", ["one short line here", "and another one there"]),
        ("- book a train\n- pay the invoice", ["- book a train", "- pay the invoice"]),
        ("京都の天気はどうですか。電車は何時に出ますか。", ["京都の天気はどうですか。", "電車は何時に出ますか。"]),
        ("今天的会议几点开始？谁会参加？", ["今天的会议几点开始？", "谁会参加？"]),  # noqa: RUF001 - the wide forms
        ("회의는 몇 시에 시작하나요? 누가 거기에 오나요?", ["회의는 몇 시에 시작하나요?", "누가 거기에 오나요?"]),
    ],
)
def test_a_question_of_several_sentences_is_cut_at_their_ends(question: str, parts: list[str]) -> None:
    assert sentences(question) == parts


@pytest.mark.parametrize(
    "question",
    [
        "",
        " \n ",
        "Where is the boat?",
        "  where is the boat",
        "京都の天気はどうですか。",
        "What about version 2.5 then?",
    ],
)
def test_a_single_sentence_has_no_parts(question: str) -> None:
    assert sentences(question) == []


def test_sentences_of_one_or_two_words_are_left_out() -> None:
    assert sentences("Hi there! Where is the boat? Thanks. はい。") == ["Where is the boat?"]
    assert sentences("Hello. Goodbye.") == []


@pytest.mark.parametrize(
    "together",
    [
        "what does app.memories.store() return in version 3.11.2",
        "open https://example.com/a.b?c=d;e!f and read it",
        "why is x=1;y=2 faster than a[i]!=b",
        "read README.md and ~/.config/memos.toml of the project",
    ],
)
def test_code_and_urls_are_not_cut(together: str) -> None:
    assert sentences(f"{together}. And what is next to it?") == [f"{together}.", "And what is next to it?"]


def test_a_repeated_sentence_counts_once() -> None:
    assert sentences("Where is the boat? Where is the boat?") == []
    assert sentences("Is it red? Where is it? Is it red?") == ["Is it red?", "Where is it?"]


def test_only_the_first_of_many_sentences_count() -> None:
    many = [f"What is number {number}?" for number in range(500)]

    assert sentences(" ".join(many)) == many[:MAX_SENTENCES]


@given(QUESTIONS)
def test_the_sentences_are_distinct_parts_of_the_question_in_its_order(question: str) -> None:
    parts = sentences(question)

    assert len(set(parts)) == len(parts) <= MAX_SENTENCES
    assert [question.find(part) for part in parts] == sorted(question.find(part) for part in parts)
    assert all(part in question and part == part.strip() != question.strip() for part in parts)
