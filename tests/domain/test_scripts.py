"""One form for each character, and words for scripts without spaces."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.scripts import count_words, normalized, pairs_of_characters, spaced, with_pairs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("猫", "猫"),
        ("東京都", "東京 京都 東 京 都"),
        ("エラー0x80070005です。", "エラ ラー 0x80070005 です 。"),
        ("数据库DB-42重启", "数据 据库 数 据 库 DB-42 重启 重 启"),
        ("서울에서 약을 샀다", "서울 울에 에서 약을 약 샀다"),
        ("포트 8443은 PostgreSQL에서 열린다", "포트 8443 PostgreSQL 열린 린다"),
        ("ส้มตำ", "สม มต ตำ"),
        ("ភាសាខ្មែរ", "ភាសា សាខ ខមែ មែរ"),
        ("မြန်မာ", "မြန နမာ"),
        ("והבית בבית", "והבית בית בבית בית"),
        ("plain words of 2026", "plain words of 2026"),
        ("Grüße, ёж", "Grüße, ёж"),
    ],
)
def test_words_are_separated_in_every_script(text: str, words: str) -> None:
    assert with_pairs(text).split() == words.split()


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("\uff21\uff22\uff23\uff0d\uff11\uff12\uff13", "ABC-123"),
        ("ﾃﾞｰﾀﾍﾞｰｽ", "データベース"),
        ("e\u0301te\u0301", "été"),
        (normalize("NFD", "서버 Häuser"), "서버 Häuser"),
        ("Kauf\u00advertrag", "Kaufvertrag"),
        ("قَلَمٌ وأُخرى", "قلم واخري"),
        ("ـكـتـاب", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("葛\U000e0100", "葛"),
        ("Foo™ ½ x² ﬁle …", "Foo™ ½ x² ﬁle …"),
    ],
)
def test_a_character_has_one_form(text: str, form: str) -> None:
    assert normalized(text) == form


@given(st.text())
def test_a_normalized_text_is_not_changed(text: str) -> None:
    assert normalized(normalized(text)) == normalized(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_not_changed(text: str) -> None:
    assert with_pairs(spaced(normalized(text))) == text
    assert pairs_of_characters(text) == ""


@given(st.text(st.sampled_from("日本語はカ서ไทยที่ខ្មែរ a1_")))
def test_words_hold_every_character(text: str) -> None:
    assert set(normalized(text)) - {" "} == set(with_pairs(text)) - {" "}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("two words", 2),
        ("Grüße an alle", 3),
        ("服务器在地下室", 4),
        ("PostgreSQL 16を使う", 4),
        ("서버를 다시 켰다", 3),
        ("ที่บ้าน", 2),
        ("", 0),
    ],
)
def test_words_are_counted_in_every_script(text: str, count: int) -> None:
    assert count_words(normalized(text)) == count


def test_runs_of_characters_are_set_apart_and_have_pairs() -> None:
    text = spaced(normalized("エラー0x80070005です"))
    assert text.split() == ["エラー", "0x80070005", "です"]
    assert pairs_of_characters(text).split() == ["エラ", "ラー", "です"]
