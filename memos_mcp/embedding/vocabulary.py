"""Whether a model can read a text: whether its tokenizer has words, or parts of words, in the script of the text.

A tokenizer without a script's words makes a token of each letter, or unknown ones. The vectors of such texts are all
near each other, whatever they say: with all-MiniLM-L6-v2, each of 240 questions in six scripts is nearer to a fact that
does not answer it than `confident` asks for (`benchmarks/every_language.py`).
"""

import re
from collections.abc import Iterable
from typing import Any, Final

READ_SHARE: Final = 0.7
"""The share of letters in known tokens from which a text is read. With all-MiniLM-L6-v2 it is at most 0.6 in questions
in Chinese, 0.31 in Arabic, Japanese, Korean, Russian and Thai, and at least 0.95 in German and Finnish."""

_UNKNOWN: Final = frozenset({"[UNK]", "<unk>"})
"""The names of the unknown token in BERT's tokenizers and in XLM-R's."""

_WORD_ALONE: Final = re.compile("[\u3400-\u9fff\uac00-\ud7a3\U00020000-\U0003ffff]")
"""Han and Hangul: one character has a meaning, or a syllable, so a token of one is no sign of an unknown script."""


def reads(tokenizer: Any, text: str) -> bool:
    """Return whether most letters of a text are in tokens that a model can know the meaning of."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    known = _known_letters(text, zip(encoding.tokens, encoding.offsets, strict=True))
    letters = [position for position, letter in enumerate(text) if letter.isalpha()]
    return len(known.intersection(letters)) >= READ_SHARE * len(letters)


def _known_letters(text: str, tokens: Iterable[tuple[str, tuple[int, int]]]) -> set[int]:
    """Return the positions of ASCII, of letters that share a token with others, and of words of one character."""
    known: set[int] = set()
    parts: set[int] = set()
    for token, (start, end) in tokens:
        covered = text[start:end]
        if token in _UNKNOWN:
            continue
        if covered.isascii() or sum(map(str.isalpha, covered)) > 1:
            known.update(range(start, end))
        elif _WORD_ALONE.fullmatch(covered):
            (parts if start in known or start in parts else known).add(start)
    return known - parts
