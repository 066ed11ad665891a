"""Cuts a question into its sentences: each may be about something else."""

import re
from typing import Final

MAX_SENTENCES: Final = 8
"""Those after are heard in the whole question only: each costs a share of an inference and two searches."""

_MIN_WORDS: Final = 3
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,2}|[^\s\u3040-\u30ff\u3400-\u9fff]+")
"""What counts as a word: Chinese and Japanese have no spaces, two of their characters make about one."""

_ENDS: Final = re.compile(r"(?<=[.!?;…])\s+|(?<=[。！？；])|\n+")  # noqa: RUF001 - the wide forms end sentences too


def sentences(question: str) -> list[str]:
    """Return the first sentences of a question that has several, without those of one or two words."""
    parts = [part.strip() for part in _ENDS.split(question)]
    parts = list(dict.fromkeys(part for part in parts if part))
    whole = len(parts) == 1
    return [] if whole else [part for part in parts if len(_WORD.findall(part)) >= _MIN_WORDS][:MAX_SENTENCES]
