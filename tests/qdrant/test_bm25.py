"""The weights of words in passages and questions."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_edge import Bm25, Bm25Config, SparseVector

from memos_mcp.domain.scripts import normalized, pairs_of_characters
from memos_mcp.qdrant.bm25 import TIE_BREAK, WordVectors, join_snake_case, share_of, split_camel_case
from memos_mcp.retrieval.detection import is_english

WORDS = WordVectors()


def weights(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def weight_of(word: str, *weighted_texts: tuple[str, float]) -> float:
    """Return what a word weighs in a passage that is found by these weighted_texts."""
    [index] = WORDS.question(word).indices
    return weights(WORDS.passage("memory", weighted_texts)).get(index, 0.0)


def test_an_identifier_is_found_by_its_parts_and_the_parts_by_the_identifier() -> None:
    passage = weights(WORDS.passage("memory", [("class RetryPolicy: waits", 1.0)]))

    assert set(WORDS.question("retry policy").indices) <= set(passage)
    assert set(WORDS.question("RetryPolicy").indices) & set(
        weights(WORDS.passage("memory", [("a policy to retry", 1.0)]))
    )


def test_a_neighbour_s_word_counts_less_than_the_passage_s_own() -> None:
    passage = ("the boat is red", 1.0), ("who painted the fence", 0.5)

    assert weight_of("fence", *passage) == pytest.approx(0.5 * weight_of("fence", ("who painted the fence", 1.0)))
    assert weight_of("boat", *passage) == weight_of("boat", passage[0])


def test_a_word_in_several_texts_has_its_greatest_weight() -> None:
    own = ("Ann: the boat is red", 1.0)
    others = [("Ann: who painted it", 0.7), ("Ann: it was blue", 0.6)]

    assert weight_of("Ann", own, *others) == weight_of("Ann", own)


def test_passages_that_share_one_word_have_different_weights_by_their_vectors() -> None:
    shares = [share_of(array("f", [number, 1.0])) for number in range(5)]
    passages = [weights(WORDS.passage("memory", [("a boat", 1.0)], share)) for share in shares]
    assert len({max(passage.values()) for passage in passages}) == 5
    assert 1 - TIE_BREAK <= min(shares) <= max(shares) <= 1


def test_a_passage_without_words_has_an_empty_vector() -> None:
    assert weights(WORDS.passage("memory", [])) == {}
    assert weights(WORDS.passage("memory", [("", 1.0), ("the", 0.5)])) == {}


def words_in_common(one: str, other: str) -> set[int]:
    return set(WORDS.question(one).indices) & set(WORDS.passage("memory", [(other, 1.0)]).indices)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_without_words_of_other_languages_has_the_vector_of_qdrant_itself(text: str) -> None:
    plain = Bm25(Bm25Config(language="english", ascii_folding=True, avg_len=60.0))
    text = f"{text} and more"
    named = join_snake_case(split_camel_case(text))
    assert weights(WORDS.passage("memory", [(text, 1.0)])) == weights(plain.embed_document(named))
    assert weights(WORDS.question(text)) == weights(plain.embed_query(named))


def test_a_name_in_snake_case_is_one_word_of_a_memory_and_its_parts() -> None:
    assert len(words_in_common("which max_retry_count", "max_retry_count = 3")) == 4
    assert len(words_in_common("which max_retry_count", "the count of a retry at max")) == 3


def test_the_joined_form_of_a_name_is_no_word_of_a_tool() -> None:
    tool = WORDS.passage("tool", [("get_user", 1.0)])
    assert set(tool.indices) == set(WORDS.question("get user").indices)


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("Häuser", "das Haus ist verkauft"),
        ("Wo steht das Haus?", "Die Häuser sind verkauft."),
        ("серверы", "Сервер перезагружен"),
        ("Mitä kissalle annetaan?", "Mikä kissa nukkuu, kun sataa?"),
        ("caballos", "¿Dónde está el caballo?"),
        ("الخادم", "خادم البريد"),
        ("בית", "הבית נמכר"),
        ("서버", "서버에서 오류"),
        ("약", "고양이에게 약을 준다"),
        ("猫", "黒猫がいる"),
        ("0x80070005", "エラー0x80070005です"),
        ("8443", "端口8443只能从内网访问"),
        ("OrderService", "使用OrderService类"),
        ("\uff21\uff22\uff23\uff11\uff12\uff13", "code ABC123"),
        ("データ", "ﾃﾞｰﾀ"),
        ("café", "Cafe\u0301"),
        ("cafe", "café"),
    ],
)
def test_a_word_is_found_in_another_form(question: str, passage: str) -> None:
    assert words_in_common(question, passage)


def test_a_word_matches_in_the_same_form_when_the_language_of_the_question_is_not_recognised() -> None:
    assert is_english("Servern")
    assert words_in_common("Servern", "Die Last auf den Servern ist nicht hoch.")


def test_stop_words_of_the_recognised_language_do_not_count() -> None:
    assert not words_in_common("Wo ist das und wer ist der?", "Das ist nicht der Hund und nicht das Pferd.")


@pytest.mark.parametrize("text", ["東京", "データ", "서울", "กรุงเทพ", "ទិញផ្ទះ", "ခွေးတကောင်", "ເຂົ້າໜຽວ"])
def test_a_pair_of_characters_is_one_word_to_qdrant(text: str) -> None:
    qdrant = Bm25(Bm25Config(language="english", ascii_folding=True))
    assert {len(qdrant.embed_query(word).indices) for word in pairs_of_characters(normalized(text)).split()} == {1}


def test_other_words_of_a_text_do_not_count_less_for_its_pairs_of_characters() -> None:
    short, both = ("fetch the news", 1.0), ("fetch the news 获取网易新闻热点榜包含时政要闻社会事件", 1.0)
    assert weight_of("fetch", both) > 0.9 * weight_of("fetch", short)
