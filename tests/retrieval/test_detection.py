"""The languages whose stems a text needs."""

import pytest

from memos_mcp.retrieval.detection import is_english, languages_of
from tests.language_questions import LANGUAGES


@pytest.mark.parametrize(
    "text",
    [
        "The staging database moved.",
        "Los Angeles, San Jose and El Paso",
        "getComment(var, self.options)",
        "var la = pour.les(des)",
        "vanilla villa",
        "error 0x80070005 at 10:00 AM EST",
        "",
    ],
)
def test_english_names_and_code_need_no_other_stems(text: str) -> None:
    assert is_english(text) or languages_of(text) == []


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("Wo steht das Auto?", ["german"]),
        ("Die Häuser sind verkauft.", ["german"]),
        ("Où sont les clés ?", ["french"]),
        ("¿Dónde está la llave?", ["spanish"]),
        ("Quando parte il treno per Roma e chi viene?", ["italian"]),
        ("Onde está a chave? Não sei.", ["portuguese"]),
        ("Wanneer is het huis verkocht?", ["dutch"]),
        ("Var är bilen och vem kör?", ["swedish"]),
        ("Kuka on korjaamon johtaja?", ["finnish"]),
        ("Kun kissa nukkuu, talo on hiljaa.", ["finnish"]),
        ("Anahtar nerede değil?", ["turkish"]),
        ("Hol van a kulcs és miért?", ["hungarian"]),
        ("Где ключ?", ["russian"]),
        ("Πού είναι το κλειδί;", ["greek"]),
        ("أين المفتاح؟", ["arabic"]),
        ("Zoë likes the café of the harbour.", []),
        ("データベース", []),
    ],
)
def test_a_text_has_the_languages_of_its_words_letters_and_script(text: str, languages: list[str]) -> None:
    assert not is_english(text)
    assert languages_of(text) == languages


def test_a_text_of_which_the_language_is_uncertain_has_several() -> None:
    assert {"german", "finnish", "swedish"} <= set(languages_of("Pysähtyvätkö junat?"))


@pytest.mark.parametrize("language", ["arabic", "finnish", "german", "russian"])
def test_nearly_all_sentences_have_their_language(language: str) -> None:
    texts = [text for both in LANGUAGES[language] for text in both]
    assert sum(language in languages_of(text) for text in texts) >= 0.95 * len(texts)
