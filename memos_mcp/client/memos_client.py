"""The tools of memOS.as as methods: what each argument means is described in docs/tools.md."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic_core import to_jsonable_python

from memos_mcp.client.reconnecting_client import ReconnectingClient
from memos_mcp.client.server_connection import Shape
from memos_mcp.client.tool_results import (
    BuildLoadoutResult,
    CallToolAnswer,
    DiscoverToolsResult,
    ForgetMemoryResult,
    QueryMemoryResult,
    RegisterToolResult,
    ReportOutcomeResult,
    StoreMemoryResult,
    UnregisterToolResult,
    UpdateMemoryResult,
)

Kind: TypeAlias = Literal["episodic", "semantic", "procedural", "document"]
Id: TypeAlias = UUID | str
Object: TypeAlias = Mapping[str, Any]
Clear: TypeAlias = Literal["session_id", "expires_at"]


class MemosClient(ReconnectingClient):
    """A client of memOS.as at a URL or launched over stdio, used in `async with`.

    An argument that is None is not sent, so the server's default counts. Times must have a zone.

    Raises from every method:
        CallRefused: The server refused the call; its text says what to change.
        ServerUnavailable: The server cannot be reached or did not answer in time. Calls that can be repeated were made
            twice by then; any other may have been done or not.
        UnreadableAnswer: The answer is not one of memOS.as, or of a version that this client does not know.
    """

    async def store_memory(
        self,
        content: str,
        *,
        kind: Kind | None = None,
        tags: Sequence[str] | None = None,
        metadata: Object | None = None,
        importance: float | None = None,
        session_id: str | None = None,
        occurred_at: datetime | None = None,
        expires_at: datetime | None = None,
        supersedes: Id | None = None,
    ) -> StoreMemoryResult:
        """Store a memory. The same content in a session is stored once, with all labels merged."""
        return await self._tool(
            "store_memory",
            StoreMemoryResult,
            content=content,
            kind=kind,
            tags=tags,
            metadata=metadata,
            importance=importance,
            session_id=session_id,
            occurred_at=occurred_at,
            expires_at=expires_at,
            supersedes=supersedes,
        )

    async def query_memory(
        self,
        query: str | None = None,
        *,
        limit: int | None = None,
        kind: Kind | None = None,
        tags: Sequence[str] | None = None,
        metadata: Object | None = None,
        session_id: str | None = None,
        agent_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        include_superseded: bool | None = None,
        half_life_days: float | None = None,
        min_score: float | None = None,
        max_tokens: int | None = None,
        cursor: str | None = None,
    ) -> QueryMemoryResult:
        """Find memories by meaning and words, best first, or list them, newest first, without a `query`."""
        return await self._tool(
            "query_memory",
            QueryMemoryResult,
            query=query,
            limit=limit,
            kind=kind,
            tags=tags,
            metadata=metadata,
            session_id=session_id,
            agent_id=agent_id,
            since=since,
            until=until,
            as_of=as_of,
            include_superseded=include_superseded,
            half_life_days=half_life_days,
            min_score=min_score,
            max_tokens=max_tokens,
            cursor=cursor,
        )

    async def read_memories(
        self,
        memory_ids: Sequence[Id],
        *,
        offset: int | None = None,
        max_tokens: int | None = None,
        cursor: str | None = None,
        as_of: datetime | None = None,
        include_superseded: bool | None = None,
    ) -> QueryMemoryResult:
        """Read these memories in this order; with an `offset`, one long memory from that character on."""
        return await self._tool(
            "query_memory",
            QueryMemoryResult,
            memory_ids=memory_ids,
            offset=offset,
            max_tokens=max_tokens,
            cursor=cursor,
            as_of=as_of,
            include_superseded=include_superseded,
        )

    async def update_memory(
        self,
        memory_id: Id,
        *,
        content: str | None = None,
        kind: Kind | None = None,
        tags: Sequence[str] | None = None,
        metadata: Object | None = None,
        importance: float | None = None,
        session_id: str | None = None,
        occurred_at: datetime | None = None,
        expires_at: datetime | None = None,
        replace: bool | None = None,
        clear: Sequence[Clear] | None = None,
        if_version: int | None = None,
    ) -> UpdateMemoryResult:
        """Correct a memory or its labels. New content is a new memory that supersedes it."""
        return await self._tool(
            "update_memory",
            UpdateMemoryResult,
            repeatable=content is None and if_version is None,
            memory_id=memory_id,
            content=content,
            kind=kind,
            tags=tags,
            metadata=metadata,
            importance=importance,
            session_id=session_id,
            occurred_at=occurred_at,
            expires_at=expires_at,
            replace=replace,
            clear=clear,
            if_version=if_version,
        )

    async def forget_memory(
        self,
        memory_ids: Sequence[Id] | None = None,
        *,
        filter: Object | None = None,
        dry_run: bool | None = None,
        expect: int | None = None,
        erase: bool | None = None,
    ) -> ForgetMemoryResult:
        """Take memories out of every answer, or erase them. A `filter` needs a `dry_run` first, then its count."""
        return await self._tool(
            "forget_memory",
            ForgetMemoryResult,
            repeatable=expect is None,
            memory_ids=memory_ids,
            filter=filter,
            dry_run=dry_run,
            expect=expect,
            erase=erase,
        )

    async def register_tool(
        self,
        tool_id: str,
        *,
        name: str,
        description: str,
        endpoint_url: str,
        method: str | None = None,
        request_schema: Object | None = None,
        response_schema: Object | None = None,
        required_capabilities: Sequence[str] | None = None,
        auth: str | None = None,
    ) -> RegisterToolResult:
        """Make a tool known, or update it."""
        return await self._tool(
            "register_tool",
            RegisterToolResult,
            tool_id=tool_id,
            name=name,
            description=description,
            endpoint_url=endpoint_url,
            method=method,
            request_schema=request_schema,
            response_schema=response_schema,
            required_capabilities=required_capabilities,
            auth=auth,
        )

    async def unregister_tool(self, tool_id: str) -> UnregisterToolResult:
        """Remove a tool from the toolbox; `unknown` also if a lost call had removed it."""
        return await self._tool("unregister_tool", UnregisterToolResult, tool_id=tool_id)

    async def discover_tools(
        self,
        query: str | Sequence[str] | None = None,
        *,
        required_capabilities: Sequence[str] | None = None,
        agent_capabilities: Sequence[str] | None = None,
        limit: int | None = None,
        detail: Literal["summary", "full"] | None = None,
    ) -> DiscoverToolsResult:
        """Find tools for a need or for several, best first, or list them; `full` adds their schemas."""
        one = query is None or isinstance(query, str)
        return await self._tool(
            "discover_tools",
            DiscoverToolsResult,
            query=query if one else None,
            queries=None if one else query,
            required_capabilities=required_capabilities,
            agent_capabilities=agent_capabilities,
            limit=limit,
            detail=detail,
        )

    async def build_loadout(
        self,
        task: str,
        *,
        name: str | None = None,
        needs: Sequence[str] | None = None,
        memory_tokens: int | None = None,
        tool_tokens: int | None = None,
    ) -> BuildLoadoutResult:
        """Get the memories and tools for a task in one pack within token budgets."""
        return await self._tool(
            "build_loadout",
            BuildLoadoutResult,
            task=task,
            name=name,
            needs=needs,
            memory_tokens=memory_tokens,
            tool_tokens=tool_tokens,
        )

    async def report_outcome(
        self, tool_id: str, task: str, *, worked: bool, why: str | None = None, milliseconds: int | None = None
    ) -> ReportOutcomeResult:
        """Say whether a tool worked for a task, so that it is found the earlier, or the later."""
        return await self._tool(
            "report_outcome",
            ReportOutcomeResult,
            repeatable=False,
            tool_id=tool_id,
            task=task,
            worked=worked,
            why=why,
            milliseconds=milliseconds,
        )

    async def call_tool(
        self, tool_id: str, arguments: Object | None = None, *, task: str | None = None
    ) -> CallToolAnswer:
        """Have the server call a registered tool, which it does where its operator names hosts."""
        return await self._tool(
            "call_tool", CallToolAnswer, repeatable=False, tool_id=tool_id, arguments=arguments, task=task
        )

    async def _tool(self, tool: str, shape: type[Shape], *, repeatable: bool = True, **arguments: Any) -> Shape:
        """Call a tool with the arguments that are not None, as JSON values."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return await self.call(tool, to_jsonable_python(given), shape, repeatable=repeatable)
