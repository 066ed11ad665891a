"""The memory service, memOS.as, as the orchestrator holds it: a client over MCP that reconnects and never raises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pydantic import SecretStr

from memos_mcp.orchestrator.payload import KnownMemory, KnownTool


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start the service over stdio; without a command, this Python's `memos-as`.

    Of this process's environment the service gets little more than PATH and HOME: name in `env` what it needs
    (`MEMOS_HOME`, `MEMOS_NAMESPACE`, `MEMOS_AGENT_ID`).
    """

    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class MemoryDown:
    """The service did not give what was asked for: it is down, slow, or refused. `reason` says which."""

    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """An answer with memories or tools; `degraded` says why it may be incomplete."""

    memories: Sequence[KnownMemory] = ()
    tools: Sequence[KnownTool] = ()
    degraded: str | None = None
    role: str = ""
    uncovered: Sequence[str] = ()


class MemoryService:
    """The service at a URL (streamable HTTP, with a bearer token if it wants one), or launched over stdio.

    Entering begins to connect and waits for nothing; a connection that was lost is made anew by the next call.
    Every call ends within `timeout` seconds, the time for connecting included.
    """

    def __init__(
        self, server: Launch | str | None = None, *, token: SecretStr | str | None = None, timeout: float = 20.0
    ) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    async def query(self, text: str, *, limit: int = 8, tags: Sequence[str] = ()) -> Found | MemoryDown:
        """Find memories by meaning and words, best first; those with all of `tags`."""
        raise NotImplementedError

    async def discover(
        self, needs: Sequence[str], *, limit: int = 5, capabilities: Sequence[str] | None = None
    ) -> Found | MemoryDown:
        """Find tools for these needs, with their whole schemas; `capabilities` are what the agent may use."""
        raise NotImplementedError

    async def loadout(self, task: str, name: str, *, needs: Sequence[str] = ()) -> Found | MemoryDown:
        """Build the pack of a loadout for a task: role, memories, tools, and the needs that nothing covers."""
        raise NotImplementedError

    async def store(
        self, content: str, *, session_id: str, tags: Sequence[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> str | MemoryDown:
        """Store an episodic memory and return its memory_id. The same content in a session is stored once."""
        raise NotImplementedError
