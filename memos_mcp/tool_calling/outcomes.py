"""What a call of a tool comes to. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Effect: TypeAlias = Literal["none", "unknown", "done"]
"""Whether a failed call changed something."""

REASON_CHARS: Final = 200

Cause: TypeAlias = Literal["arguments", "setup", "tool"]
"""What has to be mended: what the caller wrote, what the operator has set up, or the tool."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """The answer of a tool that was called: JSON, or text.

    `note` says what is not as expected, although the call was done: `done, but ...`. `status` is that of HTTP.
    """

    tool_id: str
    value: Any
    note: str | None = None
    status: int | None = None

    @property
    def reason(self) -> str | None:
        """The note without what the tool wrote, which may be private."""
        return None if self.note is None else _own_words(self.note)


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """Why a call failed, in words for a model.

    `retryable`: the same call may succeed later, after `retry_after` seconds if the tool says when.
    """

    tool_id: str
    what: str
    retryable: bool = False
    retry_after: float | None = None
    effect: Effect = "none"
    cause: Cause = "tool"

    @property
    def reason(self) -> str:
        """Why it failed, without what the tool wrote, which may be private."""
        return _own_words(self.what)


class CallFailed(Exception):
    """A call failed; the message gives the reason. `again`: the call may be repeated at once."""

    def __init__(
        self,
        reason: str,
        *,
        retryable: bool = False,
        again: bool = False,
        retry_after: float | None = None,
        effect: Effect = "none",
        cause: Cause = "tool",
    ) -> None:
        super().__init__(reason)
        self.retryable = retryable
        self.again = again
        self.retry_after = retry_after
        self.effect: Effect = effect
        self.cause: Cause = cause


class BadArguments(CallFailed):
    """No request can be made of the arguments. The message says what to change; nothing was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, cause="arguments")


def _own_words(text: str) -> str:
    """Return a text up to its first colon: what tools and callers wrote, even in a header or a name, follows it."""
    return text.partition(": ")[0][:REASON_CHARS]
