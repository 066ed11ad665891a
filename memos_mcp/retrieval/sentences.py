"""Cuts a question into its sentences, which may be about different things."""

import re
from typing import Final

MAX_SENTENCES: Final = 8
"""Later sentences count only as part of the whole question: each costs a share of an inference and two searches."""

_MIN_WORDS: Final = 3
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""A word. Chinese and Japanese have no spaces; two of their characters are about one word."""

_ENDS: Final = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")  # noqa: RUF001 - the wide forms end sentences too


def sentences(question: str) -> list[str]:
    """Return the first sentences of a question that has several, without those of one or two words."""
    parts = [part.strip() for part in _ENDS.split(question)]
    parts = list(dict.fromkeys(part for part in parts if part))
    whole = len(parts) == 1
    return [] if whole else [part for part in parts if len(_WORD.findall(part)) >= _MIN_WORDS][:MAX_SENTENCES]
