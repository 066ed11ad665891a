"""Cuts a question into its sentences, which may be about different things."""

import re
from typing import Final

from memos_mcp.domain.scripts import count_words

MAX_SENTENCES: Final = 8
"""Later sentences count only as part of the whole question: each costs a share of an inference and two searches."""

_MIN_WORDS: Final = 3
_ENDS: Final = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")  # noqa: RUF001 - the wide forms end sentences too


def sentences(question: str) -> list[str]:
    """Return the first sentences of a question that has several, without those of one or two words."""
    parts = [part.strip() for part in _ENDS.split(question)]
    parts = list(dict.fromkeys(part for part in parts if part))
    whole = len(parts) == 1
    return [] if whole else [part for part in parts if count_words(part) >= _MIN_WORDS][:MAX_SENTENCES]
