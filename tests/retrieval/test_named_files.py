"""What a question adds to the strength of a file that it names."""

import pytest

from memos_mcp.retrieval.named_files import NAMED, file_words, named_strength, words_of


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("scraper.py", "scraper"),
        ("ext/todo_list.py", "list todo"),
        ("src/HTTPServer.test.ts", "http server"),
        ("docs/feed-exports.md", "export feed"),
        ("todo/__init__.py", "todo"),
        ("src/widgets/index.js", "widget"),
        ("__init__.py", "init"),
        (".gitignore", "gitignore"),
        ("data/größen.csv", "größen"),
        ("x/+.y", ""),
    ],
)
def test_a_file_has_the_words_of_its_name_or_of_its_folder(path: str, words: str) -> None:
    assert file_words(path) == words


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("Fix the scraper when a page is empty", "core/scraper.py"),
        ("Where are the default settings read?", "settings/default_settings.py"),
        ("`defaultSettings` is empty", "settings/default_settings.py"),
        ("SafeRepr cuts long strings", "_io/saferepr.py"),
        ("utils/url.py: keep the fragment", "utils/url.py"),
        ("feed export to a bucket", "extensions/feed_exports.py"),
        ("Autodoc shows it twice", "ext/autodoc/__init__.py"),
    ],
)
def test_a_question_names_a_file_by_the_words_of_its_name(question: str, path: str) -> None:
    assert named_strength(file_words(path), [words_of(question)]) == NAMED


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("Where are the settings read?", "settings/default_settings.py"),
        ("Which class is it?", "clas.py"),
        ("What is the index of a list?", "pages/index.js"),
        ("?", "x/+.y"),
        ("", "scraper.py"),
    ],
)
def test_a_question_with_only_some_of_the_words_does_not_name_a_file(question: str, path: str) -> None:
    assert named_strength(file_words(path), [words_of(question)]) == 0.0


def test_half_is_for_the_whole_question_and_half_the_mean_for_its_sentences() -> None:
    texts = ["The scraper stops. Why? It should log.", "The scraper stops.", "It should log."]
    assert named_strength("scraper", [words_of(text) for text in texts]) == pytest.approx(NAMED * 0.75)


def test_without_the_texts_of_a_question_no_file_is_named() -> None:
    assert named_strength("scraper", []) == 0.0
