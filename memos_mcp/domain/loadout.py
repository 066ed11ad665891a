"""Loadouts: the role of an agent, the namespaces it may read, and its memories and tools at the start of a task."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_labels, check_text
from memos_mcp.domain.scripts import with_pairs
from memos_mcp.domain.tool import check_capabilities

Relevance: TypeAlias = Literal["covers", "related"]

MAX_ROLE_CHARS: Final = 8_000
MAX_NAMESPACES: Final = 8
MAX_PINS: Final = 32
MAX_SEARCHES: Final = 8
MAX_NEEDS: Final = 8
MAX_PACK_TOKENS: Final = 10_000
MEMORY_TOKENS: Final = 1_500
TOOL_TOKENS: Final = 2_000

BYTES_PER_TOKEN: Final = 4

_MAX_NAME_CHARS: Final = 255
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_FILL_WORDS: Final = """
    about all an and any are as at be been but by can could did do does for from get had has have help her his how if in
    into is it its me my need no not of on or our out please she should so some than that the their them then there
    these they this to up us use want was we were what when where which who why will with would you your
"""
_STEM_CHARS: Final = 5


@dataclass(frozen=True, slots=True)
class RelevanceThresholds:
    """The lowest cosine of hits that cover a need, and of related ones; the first `guesses` hits are always related."""

    covers: float
    related: float
    guesses: int


MEMORY_THRESHOLDS: Final = RelevanceThresholds(covers=0.40, related=0.30, guesses=0)
TOOL_THRESHOLDS: Final = RelevanceThresholds(covers=0.30, related=0.25, guesses=3)
"""Measured with all-MiniLM-L6-v2, as the share of questions with a hit that reaches `covers`.

Memories: 100 % of the questions about the stored conversation, 32 % of those about another one, 13-26 % of the tasks
for tools (LoCoMo, four conversations, 300 questions). Tools: 89, 85 and 100 % of the tasks that have a tool, 24, 10 and
23 % of personal questions (MetaTool, LiveMCPBench, StableToolBench). No threshold separates a tool from a similar one.
A long task of several parts is near to none of the tools that it needs, hence the guesses: an extra tool costs little.
"""

SHARED_COVERS: Final = 0.5
SHARED_RELATED: Final = 0.33
"""The same for the share of a need's words that a hit has; 0.5 is the median of LoCoMo's answers, and 4 % of the
messages of another conversation reach it. One word of several never covers. A hit that is not in the index yet has no
cosine, and is judged by its words alone."""


@dataclass(frozen=True, slots=True)
class Loadout:
    """The configuration of an agent. `capabilities` None: not known, so that no tool is withheld.

    namespaces: those it may read, none meaning that of the connection.  admitted: those whose connections may use it.
    """

    name: str | None = None
    role: str | None = None
    capabilities: Sequence[str] | None = None
    namespaces: Sequence[str] = ()
    admitted: Sequence[str] = ()
    pinned_memories: Sequence[UUID] = ()
    searches: Sequence[str] = ()
    memory_tokens: int = MEMORY_TOKENS
    pinned_tools: Sequence[str] = ()
    tool_tokens: int = TOOL_TOKENS

    def check(self) -> None:
        """Raise `Invalid` when a part is too long, or cannot match anything that can be stored."""
        if self.role is not None:
            check_text("role", self.role, max_chars=MAX_ROLE_CHARS)
        check_capabilities("capabilities", self.capabilities or ())
        check_labels("namespaces", self.namespaces, max_count=MAX_NAMESPACES, max_chars=_MAX_NAME_CHARS)
        check_labels("for", self.admitted, max_count=1_000, max_chars=_MAX_NAME_CHARS)
        check_labels("tools.pinned", self.pinned_tools, max_count=MAX_PINS, max_chars=_MAX_NAME_CHARS)
        _check_count("memories.pinned", self.pinned_memories, MAX_PINS)
        _check_count("memories.search", self.searches, MAX_SEARCHES)
        for text in self.searches:
            check_text("an entry of memories.search", text, max_chars=1_000)
        check_budget("memories.tokens", self.memory_tokens)
        check_budget("tools.tokens", self.tool_tokens)

    def admits(self, namespace: str) -> bool:
        """Whether connections of this namespace may use it: it admits them, or admits none and opens no other."""
        if self.admitted:
            return namespace in self.admitted
        return set(self.namespaces) <= {namespace}

    def reads(self, namespace: str) -> Sequence[str]:
        """Return the namespaces that a connection of this namespace reads with it, its own first."""
        named = list(dict.fromkeys(self.namespaces)) or [namespace]
        return sorted(named, key=lambda name: name != namespace)


class LoadoutStore(Protocol):
    """The loadouts of this server."""

    async def names(self, namespace: str) -> Sequence[str]:
        """Return the names of the first loadouts that admit this namespace, in order; one with an error is left out."""

    async def get(self, name: str, namespace: str) -> Loadout:
        """Return a loadout that admits this namespace; `NotFound` names those that do, `Invalid` says what is wrong."""


def relevance(
    need: str, text: str, signals: Mapping[str, float], rank: int, thresholds: RelevanceThresholds
) -> Relevance | None:
    """Return the relevance of a hit by its cosine and the words it shares with the need, None for an unrelated one.

    The score of a hit does not serve here: it compares the hits of one question, of which even the best may not answer.
    """
    cosine = signals.get("dense", 0.0)
    shared, wanted = shared_words(need, text)
    share = shared / wanted if wanted else 0.0
    shares_words = share >= SHARED_COVERS and (shared > 1 or wanted == 1)
    if "exact" in signals or cosine >= thresholds.covers or shares_words:
        return "covers"
    near = cosine >= thresholds.related or share >= SHARED_RELATED or rank < thresholds.guesses
    return "related" if near else None


def shared_words(need: str, text: str) -> tuple[int, int]:
    """Return how many content words of the need the text has, compared by first letters, and how many there are."""
    wanted = _stems(need)
    return len(wanted & _stems(text)), len(wanted)


def check_loadout_name(name: str) -> None:
    """Refuse what is not the name of a loadout, above all a path that leaves their folder."""
    if not _NAME.fullmatch(name):
        raise Invalid("name must be the name of a loadout: up to 64 letters, digits and . _ - without a path.")


def check_budget(field: str, tokens: int) -> None:
    """Refuse a budget that is negative, or larger than an answer may be."""
    if not 0 <= tokens <= MAX_PACK_TOKENS:
        raise Invalid(f"{field} must be from 0 to {MAX_PACK_TOKENS:,}.")


def check_needs(task: str, needs: Sequence[str]) -> None:
    """Refuse a task or needs that cannot be asked."""
    _check_count("needs", needs, MAX_NEEDS)
    for field, text in (("task", task), *(("an entry of needs", need) for need in needs)):
        check_text(field, text, max_chars=10_000)


def _check_count(field: str, entries: Collection[object], limit: int) -> None:
    if len(entries) > limit:
        raise Invalid(f"{field} has {len(entries):,} entries; the limit is {limit}.")


def _stems(text: str) -> set[str]:
    words = {word for word in re.findall(r"\w+", with_pairs(text.lower())) if len(word) > 1}
    return {
        word[:_STEM_CHARS] if len(word) > _STEM_CHARS else word.rstrip("s") for word in words - set(_FILL_WORDS.split())
    }
