"""What a delegation is bounded by, what happened in it, and how it ended. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from memos_mcp.orchestrator.call_outcomes import CallOutcome
from memos_mcp.orchestrator.cortex import Stop
from memos_mcp.orchestrator.payload import TaskPayload
from memos_mcp.tool_calling.outcomes import ToolFailure

StepKind: TypeAlias = Literal[
    "enriched", "left out", "thought", "asked again", "shortened", "calling", "answered", "failed", "ended", "stored",
    "not stored",
]  # fmt: skip
Ending: TypeAlias = Literal[
    "answered", "cut off", "filtered", "refused", "empty", "unreadable call", "out of steps", "out of time",
    "out of tokens", "out of context", "cortex down",
]  # fmt: skip

STOPPED: Final[Mapping[Stop, Ending]] = {"length": "cut off", "filtered": "filtered", "refused": "refused"}
"""How a delegation ends when the model stopped before it was done."""
REASONS: Final[Mapping[Ending, str]] = {
    "cut off": "The model reached its limit of tokens before the end of its answer.",
    "filtered": "The endpoint's content filter stopped the answer.",
    "refused": "The model refused the task.",
    "empty": "The model answered without text and without a call.",
    "unreadable call": "The model wrote a tool call as text that cannot be read in one way, also when asked again.",
    "out of steps": "The model still called tools in its last step.",
    "out of time": "The time of the delegation is over.",
    "out of tokens": "The tokens of the delegation are used up.",
}
NEVER_STORED: Final = frozenset[Ending]({"cut off", "filtered", "refused", "empty", "unreadable call"})
"""Endings without an outcome that a similar task should start with."""
STORED_IF_USED: Final = frozenset[Ending]({"cortex down", "out of context", "out of tokens"})
"""Endings that leave an outcome only if a tool was used."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a delegation: thoughts, seconds of the loop, calls per thought, characters per tool answer, tokens.

    `tokens` counts all requests and answers, as the endpoint reports them, or estimated from their text. No request is
    made that would exceed it; the answer to the last one may.
    """

    steps: int = 12
    seconds: float = 300.0
    calls: int = 16
    answer_chars: int = 20_000
    tokens: int = 500_000


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, as a line of text; `detail` holds it as JSON values."""

    happening: StepKind
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)


Observer: TypeAlias = Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a task. `ended` says whether `result` is an answer, `why` the reason if it is none.

    `stored` is the memory_id of its memory, `calls` are the calls of tools, and `tokens` those that were used.
    """

    task_id: str
    payload: TaskPayload
    result: str
    ended: Ending
    steps: Sequence[Step]
    tools_used: Sequence[str]
    failures: Sequence[ToolFailure]
    stored: str | None
    why: str = ""
    calls: Sequence[CallOutcome] = ()
    tokens: int = 0

    @property
    def enrichment(self) -> str:
        """How complete the enrichment was: `full`, `partial: ...` or `none: <reason>`."""
        return self.payload.enrichment


def is_kept(ended: Ending, *, used: bool) -> bool:
    """Return whether an outcome is stored; `used` says whether a tool answered."""
    return ended not in NEVER_STORED and (used or ended not in STORED_IF_USED)
