"""What came of the calls of tools, for those who choose tools later. Pure."""

from dataclasses import dataclass

from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """The outcome of one call: whether the tool `worked`, or `why` not, and how long it took."""

    tool_id: str
    worked: bool
    why: str | None
    milliseconds: int


def call_outcome(answer: ToolAnswer | ToolFailure, milliseconds: int) -> CallOutcome | None:
    """Return the outcome of a call; None for a failure that does not count against the tool.

    An answer is a success. It is not guessed from later calls whether it was the answer that the model needed.
    """
    if isinstance(answer, ToolAnswer):
        return CallOutcome(answer.tool_id, worked=True, why=None, milliseconds=milliseconds)
    if answer.cause != "tool":
        return None
    return CallOutcome(answer.tool_id, worked=False, why=answer.reason, milliseconds=milliseconds)
