"""An app with stand-ins for its services, so that a transport can be tested by itself. It stores nothing."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio

from memos_mcp.app import App, assemble
from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.domain.index import Span
from memos_mcp.domain.memory import Memory, MemoryHit, MemoryPage, MemoryQuery, NewMemory, Stored
from memos_mcp.domain.quotas import NO_QUOTAS
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, Registered, Tool, ToolHit, ToolPage, ToolQuery
from memos_mcp.retrieval.pagination import fingerprint
from memos_mcp.services.call_limits import CallLimits
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.memories import Memories
from memos_mcp.services.tools import Tools
from memos_mcp.settings import Settings
from memos_mcp.transports.http import serve_http
from memos_mcp.transports.stdio import serve_stdio

SCOPE = Scope("team", "tester")
QUESTION = fingerprint("a question")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class StandInMemories(Memories):
    """Records what it gets and answers with `page`. Some contents have a meaning; see `store`.

    `scope` is the one that all calls must have.
    """

    def __init__(self) -> None:
        self.scope = SCOPE
        self.stored: list[NewMemory] = []
        self.queries: list[MemoryQuery] = []
        self.page = memory_page(())
        self.started = anyio.Event()
        self.proceed = anyio.Event()

    async def store(self, scope: Scope, new: NewMemory) -> Stored:
        assert scope == self.scope
        new.check()
        match new.content:
            case "bug":
                raise RuntimeError("postgresql://user:secret@host/db")
            case "outage":
                raise StoreUnavailable("The memory is currently not reachable. Repeat the call.")
            case "print":
                print("stray")  # noqa: T201 - a stand-in for a library that prints
            case "wait":
                self.started.set()
                await self.proceed.wait()
        self.stored.append(new)
        return Stored(UUID(int=len(self.stored)), created=True, indexed=True)

    async def query(self, scope: Scope, query: MemoryQuery) -> MemoryPage:
        assert scope == self.scope
        query.filter.check()
        self.queries.append(query)
        return self.page


class StandInTools(Tools):
    """Records what it gets and answers with `page`."""

    def __init__(self) -> None:
        self.registered: list[NewTool] = []
        self.queries: list[ToolQuery] = []
        self.page = ToolPage((), 0, 0)

    async def register(self, scope: Scope, new: NewTool) -> Registered:
        assert scope == SCOPE
        new.check()
        self.registered.append(new)
        return Registered(new.tool_id, "created", 1, indexed=True)

    async def discover(self, scope: Scope, query: ToolQuery) -> ToolPage:
        assert scope == SCOPE
        self.queries.append(query)
        return self.page


class StandInIndexer(Indexer):
    """Reports the state that a test sets."""

    caught_up = True
    idle = True
    error: str | None = None

    def __init__(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StandInApp(App):
    """An app whose memories, tools and indexer are stand-ins; the rest is real and connected to nothing."""

    memories: StandInMemories
    tools: StandInTools
    indexer: StandInIndexer
    parts: dict[str, str]

    async def readiness(self) -> dict[str, str]:
        return self.parts


def stand_in(settings: Settings | None = None, parts: dict[str, str] | None = None) -> StandInApp:
    """Return an app with stand-ins. `parts` is its readiness."""
    app = assemble(settings or Settings())
    return StandInApp(
        settings=app.settings,
        memories=StandInMemories(),
        memory_changes=app.memory_changes,
        tools=StandInTools(),
        tool_calls=app.tool_calls,
        tool_servers=app.tool_servers,
        tool_sources=app.tool_sources,
        experience=app.experience,
        ingestion=app.ingestion,
        history_ingestion=app.history_ingestion,
        loadouts=app.loadouts,
        indexer=StandInIndexer(),
        doctor=app.doctor,
        database=app.database,
        index=app.index,
        queue=app.queue,
        log=app.log,
        erasures=app.erasures,
        engines=app.engines,
        access_tokens=app.access_tokens,
        token_authenticator=app.token_authenticator,
        telemetry=app.telemetry,
        audit=app.audit,
        quotas=app.quotas,
        call_limits=CallLimits(NO_QUOTAS),
        parts=parts or {"postgres": "ok", "index": "ok"},
    )


def memory_hit(number: int = 1, span: Span | None = None, **values: Any) -> MemoryHit:
    """Return a hit on a memory with these values."""
    fields = {"content": f"memory {number}", "tags": (), "metadata": {}, "session_id": None} | values
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
        **fields,
    )
    return MemoryHit(memory, (number,), 0.9, {"dense": 0.8}, span)


def memory_page(hits: Sequence[MemoryHit], *, more: bool = False, degraded: str | None = None) -> MemoryPage:
    """Return a page of these hits."""
    return MemoryPage(hits, len(hits), more, QUESTION, degraded=degraded)


def tool_hit(number: int = 1, **values: Any) -> ToolHit:
    """Return a hit on a tool with these values."""
    fields = {
        "tool_id": f"tool-{number}",
        "name": f"Tool {number}",
        "description": "Does something.",
        "endpoint_url": "https://tools.example.com/do",
        "request_schema": None,
        "response_schema": None,
        "required_capabilities": (),
    } | values
    return ToolHit(
        Tool(id=UUID(int=number), namespace=SCOPE.namespace, version=1, sequence=number, **fields), 0.9, {"dense": 0.8}
    )


def serve_stdio_alone() -> None:
    """Serve a stand-in on this process's stdio, and write to stderr that the end was reached."""
    anyio.run(serve_stdio, stand_in(), SCOPE)
    sys.stderr.write("closed cleanly\n")


def serve_http_alone() -> None:
    """Serve a stand-in over HTTP to anyone on any free port, and write to stderr that the end was reached."""
    anyio.run(serve_http, stand_in(), SCOPE, Settings(port=0, auth="none"))
    sys.stderr.write("closed cleanly\n")


def serve_http_as_set() -> None:
    """Serve a stand-in over HTTP on any free port, otherwise as the environment says."""
    anyio.run(serve_http, stand_in(), SCOPE, Settings(port=0))
