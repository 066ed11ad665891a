"""A stand-in for the *services* behind the doors, so that a door can be tested by itself. It stores nothing real."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import anyio

from memos_mcp.app import App
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.index import Span
from memos_mcp.domain.memory import Memory, MemoryHit, MemoryPage, MemoryQuery, NewMemory, Stored
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, Registered, Tool, ToolHit, ToolPage, ToolQuery
from memos_mcp.retrieval.pagination import fingerprint
from memos_mcp.settings import Settings
from memos_mcp.transports.http import serve_http
from memos_mcp.transports.stdio import serve_stdio

SCOPE = Scope("team", "tester")
QUESTION = fingerprint("a question")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@dataclass(slots=True)
class StandInMemories:
    """Keeps what it was handed and answers with `page`. Some contents have a meaning; see `store`."""

    stored: list[NewMemory] = field(default_factory=list)
    queries: list[MemoryQuery] = field(default_factory=list)
    page: MemoryPage = field(default_factory=lambda: memory_page(()))
    started: anyio.Event = field(default_factory=anyio.Event)
    proceed: anyio.Event = field(default_factory=anyio.Event)

    async def store(self, scope: Scope, new: NewMemory) -> Stored:
        assert scope == SCOPE
        new.check()
        match new.content:
            case "bug":
                raise RuntimeError("postgresql://user:secret@host/db")
            case "outage":
                raise StoreUnavailable("The memory is not reachable just now. Repeat the call.")
            case "print":
                print("stray")  # noqa: T201 - a stand-in for a library that prints
            case "wait":
                self.started.set()
                await self.proceed.wait()
        self.stored.append(new)
        return Stored(UUID(int=len(self.stored)), created=True, indexed=True)

    async def query(self, scope: Scope, query: MemoryQuery) -> MemoryPage:
        assert scope == SCOPE
        query.filter.check()
        self.queries.append(query)
        return self.page


@dataclass(slots=True)
class StandInTools:
    """Keeps what it was handed and answers with `page`."""

    registered: list[NewTool] = field(default_factory=list)
    queries: list[ToolQuery] = field(default_factory=list)
    page: ToolPage = field(default_factory=lambda: ToolPage((), 0, 0))

    async def register(self, scope: Scope, new: NewTool) -> Registered:
        assert scope == SCOPE
        new.check()
        self.registered.append(new)
        return Registered(new.tool_id, "created", 1, indexed=True)

    async def discover(self, scope: Scope, query: ToolQuery) -> ToolPage:
        assert scope == SCOPE
        self.queries.append(query)
        return self.page


@dataclass(slots=True)
class StandInIndexer:
    """Says whether it has something to do."""

    caught_up: bool = True
    idle: bool = True
    error: str | None = None


@dataclass(slots=True)
class StandIn:
    """What the doors use of an `App`."""

    settings: Settings = field(default_factory=Settings)
    indexer: StandInIndexer = field(default_factory=StandInIndexer)
    memories: StandInMemories = field(default_factory=StandInMemories)
    tools: StandInTools = field(default_factory=StandInTools)
    parts: Mapping[str, str] = field(default_factory=lambda: {"postgres": "ok", "index": "ok"})

    async def readiness(self) -> Mapping[str, str]:
        return self.parts

    @property
    def app(self) -> App:
        return cast("App", self)


def memory_hit(number: int = 1, span: Span | None = None, **values: Any) -> MemoryHit:
    """Return a hit on a memory with these values."""
    told = {"content": f"memory {number}", "tags": (), "metadata": {}, "session_id": None} | values
    memory = Memory(
        memory_id=UUID(int=number),
        namespace=SCOPE.namespace,
        agent_id=SCOPE.agent_id,
        kind="episodic",
        importance=0.5,
        occurred_at=NOON,
        created_at=NOON,
        expires_at=None,
        version=1,
        sequence=number,
        **told,
    )
    return MemoryHit(memory, (number,), 0.9, {"dense": 0.8}, span)


def memory_page(hits: Sequence[MemoryHit], *, more: bool = False, degraded: str | None = None) -> MemoryPage:
    """Return a page of these hits."""
    return MemoryPage(hits, len(hits), more, QUESTION, degraded=degraded)


def tool_hit(number: int = 1, **values: Any) -> ToolHit:
    """Return a hit on a tool with these values."""
    told = {
        "tool_id": f"tool-{number}",
        "name": f"Tool {number}",
        "description": "Does something.",
        "endpoint_url": "https://tools.example.com/do",
        "request_schema": None,
        "response_schema": None,
        "required_capabilities": (),
    } | values
    return ToolHit(Tool(id=UUID(int=number), namespace=SCOPE.namespace, version=1, **told), 0.9, {"dense": 0.8})


def serve_stdio_alone() -> None:
    """Serve a stand-in on this process's stdio, and say on stderr that the end was reached."""
    anyio.run(serve_stdio, StandIn().app, SCOPE)
    sys.stderr.write("closed in good order\n")


def serve_http_alone() -> None:
    """Serve a stand-in over HTTP on any free port, and say on stderr that the end was reached."""
    anyio.run(serve_http, StandIn().app, SCOPE, Settings(port=0))
    sys.stderr.write("closed in good order\n")
