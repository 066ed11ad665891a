"""Compares the names of files with the words of a question: a question that names a module is often about its file."""

import re
from collections.abc import Collection, Sequence
from typing import Final

from memos_mcp.retrieval.terms import split_identifier

NAMED: Final = 0.05
"""What a question adds to the strength of a file that it names, in units of cosine (`benchmarks/README.md`)."""

_OF_A_FOLDER: Final = frozenset({"__init__", "__main__", "index", "lib", "main", "mod"})
"""Names that say what a file is to its folder, and nothing about what is in it."""

_MIN_PLURAL: Final = 4
_WORD: Final = re.compile(r"\w+")


def file_words(path: str) -> str:
    """Return the words of a file's name, without its extension, in lower case and separated by spaces.

    `ext/todo_list.py` has `list todo`, and `todo/__init__.py` has the name of its folder.
    """
    *folders, last = path.split("/")
    name = last.split(".")[0] or last
    if name in _OF_A_FOLDER and folders:
        name = folders[-1]
    return " ".join(sorted({part for word in _WORD.findall(name) for part in _parts(word)}))


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case. Those of an identifier are there singly and joined."""
    found = set[str]()
    for word in _WORD.findall(text):
        parts = _parts(word)
        found.update(parts)
        if len(parts) > 1:
            found.add("".join(parts))
    return frozenset(found)


def named_strength(name: str, questions: Sequence[Collection[str]]) -> float:
    """Return what is added to the strength of a file of these words, from 0 to `NAMED`.

    questions: the words of the question, and then of its sentences, if it has several. As of all strengths, half is
    that for the whole question, and half the mean for the sentences. A question names a file by all words of its name.
    """
    words = name.split()
    if not words or not questions:
        return 0.0
    whole, *sentences = [NAMED * all(word in question for word in words) for question in questions]
    return (whole + sum(sentences) / len(sentences)) / 2 if sentences else whole


def _parts(word: str) -> list[str]:
    if word.isascii() and word.islower() and "_" not in word:
        return [_singular(word)]
    whole, *parts = split_identifier(word).split()
    return [_singular(part.lower()) for part in parts or [whole]]


def _singular(word: str) -> str:
    """Return a word without the s of a plural. That of `status` is dropped too, in names as in questions."""
    return word[:-1] if len(word) >= _MIN_PLURAL and word.endswith("s") and not word.endswith("ss") else word
