"""Cortex, the reasoning core: the port to a language model that can ask for tool calls. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from memos_mcp.orchestrator.payload import KnownTool

Speaker: TypeAlias = Literal["system", "user", "assistant", "tool"]


class CortexDown(Exception):
    """The reasoning core cannot be reached or refuses; the message says why, without an address or a key."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that Cortex asks for. `arguments` is what it wrote: JSON text, which may be wrong."""

    call_id: str
    tool_id: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Thought:
    """What Cortex said: calls to make, or, without any, its answer."""

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation; `call_id` names the call that a `tool` message answers."""

    speaker: Speaker
    text: str
    tool_calls: Sequence[ToolCall] = ()
    call_id: str | None = None


class Cortex(Protocol):
    """A language model. It must accept tools that it does not use, and may name ones that it was not given."""

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        """Return the next turn; raise `CortexDown` when there is none to be had."""
        ...

    async def close(self) -> None: ...
