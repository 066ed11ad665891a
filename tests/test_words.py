"""The retired words stay retired: one standard term for each thing, in code, SQL, tests, benchmarks and docs."""

from pathlib import Path

import pytest

from tests import retired_words


def test_no_retired_word_is_in_use() -> None:
    found = [f"{use.path}:{use.line}: {use.word} (instead: {use.instead})" for use in retired_words.uses()]
    assert found == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def f(door): ...\n", "door"),
        ("frontDoor = 1\n", "door"),
        ("_RED_DOORS = 2\n", "doors"),
        ("# the client is told so\n", "told"),
        ('MESSAGE = "It is not there just now."\n', "just now"),
        ("class Omitted: ...\n", "Omitted"),
        ("def note(self): ...\n", "def note("),
    ],
)
def test_a_retired_word_is_found_in_names_comments_and_messages(text: str, word: str, tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(text)
    assert [use.word for use in retired_words.uses_in(file, "file.py")] == [word]


@pytest.mark.parametrize(
    "text",
    ["x = 'in place of it'\n", "file.seek(0)\n", "# what is left out\n", "indoors = 1\n", "note = 'a field'\n"],
)
def test_a_literal_use_passes(text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.py"
    file.write_text(text)
    assert list(retired_words.uses_in(file, "file.py")) == []
