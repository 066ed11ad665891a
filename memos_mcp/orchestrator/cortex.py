"""Cortex, the reasoning core: the port to a language model that can request tool calls. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from memos_mcp.orchestrator.payload import KnownTool

Speaker: TypeAlias = Literal["system", "user", "assistant", "tool"]
Stop: TypeAlias = Literal["done", "length", "filtered", "refused"]


class CortexDown(Exception):
    """The reasoning core cannot be reached or refuses. The message gives the reason without an address or a key."""


class ContextTooLong(CortexDown):
    """The messages do not fit into the model's context."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that Cortex requests. `arguments` is JSON text as the model wrote it, possibly invalid.

    `signature` is what the endpoint wants back with the call, whatever it holds.
    """

    call_id: str
    tool_id: str
    arguments: str = "{}"
    signature: Any = None


@dataclass(frozen=True, slots=True)
class Thought:
    """A response of Cortex: the calls to make, or its answer if there are none. Thinking is no part of it.

    `stop` is why the model stopped: it was done, the answer was cut off at the limit of `length`, it was `filtered`, or
    the model `refused`. `unclear` says why what looks like a call in `text` could not be read as one. `tokens` counts
    those of request and answer, if the endpoint reports them. `left_out` gives, for tools that the endpoint cannot be
    given, the reason. `thinking` is kept only for endpoints that want it back with the calls.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    stop: Stop = "done"
    unclear: str | None = None
    tokens: int | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    thinking: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the conversation; `call_id` names the call that a `tool` message answers.

    `thinking` is what came with the calls of an `assistant` message.
    """

    speaker: Speaker
    text: str
    tool_calls: Sequence[ToolCall] = ()
    call_id: str | None = None
    thinking: str = field(default="", repr=False)


class Cortex(Protocol):
    """A language model. It must accept tools that it does not use, and may name ones that it was not given."""

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        """Return the next response; raise `CortexDown` if there is none."""

    async def close(self) -> None: ...
