"""Registers the tools of a source, such as an MCP server, and keeps the record in step with it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from anyio.to_thread import run_sync

from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import MCP_SCHEME, NewTool, Tool, ToolStore
from memos_mcp.tool_calling.tool_servers import ListedTool, ServerDown, ToolLister, endpoint_url


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What became of the tools of a source, by their ids. `refused` gives the reason for each that cannot be kept."""

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    disabled: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class ToolSources:
    """Keeps the tools of sources in the record. Nothing waits for the index."""

    def __init__(self, store: ToolStore, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    async def preview(self, scope: Scope, source: str, tools: Sequence[NewTool]) -> SourceReport:
        """Return what an update would do, and change nothing."""
        return await self._update(scope.namespace, source, tools, write=False)

    async def update(self, scope: Scope, source: str, tools: Sequence[NewTool]) -> SourceReport:
        """Register the tools that a source has now, and disable those that it no longer has."""
        return await self._update(scope.namespace, source, tools, write=True)

    async def sync_everywhere(self, lister: ToolLister, server: str) -> None:
        """Update the tools of a server in every namespace that has some; raise `Unavailable` when it cannot be used."""
        tools = await listed_tools(lister, server)
        for namespace in await self._store.namespaces_of(server):
            await self._update(namespace, server, tools, write=True)

    async def every(self, scope: Scope) -> list[Tool]:
        """Return all tools of the scope's namespace by their ids, disabled ones too."""
        return await self._store.every(scope.namespace)

    async def of_source(self, scope: Scope, source: str) -> list[Tool]:
        """Return the tools of a source in the scope's namespace, disabled ones too."""
        return await self._store.of_source(scope.namespace, source)

    async def set_enabled(self, scope: Scope, tool_ids: Sequence[str], *, enabled: bool) -> list[str]:
        """Enable or disable tools; return the ids of those that there are."""
        return await self._store.set_enabled(scope.namespace, tool_ids, enabled=enabled)

    async def namespaces_of(self, source: str) -> list[str]:
        """Return the namespaces that have tools of a source."""
        return await self._store.namespaces_of(source)

    async def remove(self, scope: Scope, source: str) -> list[str]:
        """Unregister all tools of a source; return their ids."""
        tools = await self.of_source(scope, source)
        return await self._store.delete(scope.namespace, [tool.tool_id for tool in tools])

    async def _update(self, namespace: str, source: str, tools: Sequence[NewTool], *, write: bool) -> SourceReport:
        report = SourceReport()
        kept = {tool.tool_id: tool for tool in await self._store.every(namespace)}
        valid: dict[str, NewTool] = {}
        for new in tools:
            reason = await run_sync(_refusal, new, valid, kept.get(new.tool_id))
            if reason is None:
                valid[new.tool_id] = new
            else:
                report.refused[new.tool_id] = reason
        for tool_id, new in valid.items():
            outcome = await self._register(namespace, new, kept.get(tool_id), write=write)
            getattr(report, outcome).append(tool_id)
        absent = [
            tool.tool_id
            for tool in kept.values()
            if tool.source == source and tool.enabled and tool.tool_id not in {new.tool_id for new in tools}
        ]
        report.disabled.extend(await self._store.mark_missing(namespace, absent) if write else absent)
        return report

    async def _register(self, namespace: str, new: NewTool, kept: Tool | None, *, write: bool) -> str:
        if write:
            outcome = (await self._store.upsert(namespace, new, self._now())).outcome
            return "added" if outcome == "created" else outcome
        if kept is None:
            return "added"
        return "unchanged" if is_same(new, kept) else "updated"


async def listed_tools(lister: ToolLister, server: str) -> list[NewTool]:
    """Return the tools of a server in the form of the record; raise `Unavailable` when it cannot be used."""
    try:
        listed = await lister.list_tools(server)
    except ServerDown as down:
        raise Unavailable(f"The MCP server {server} cannot be used: {down}.") from None
    return [new_tool(server, tool) for tool in listed]


def new_tool(server: str, listed: ListedTool) -> NewTool:
    """Return a tool of a server in the form of the record."""
    name = listed.title or listed.name
    return NewTool(
        tool_id=f"{server}.{listed.name}",
        name=name,
        description=listed.description or f"{name}, a tool of the MCP server {server} that does not describe itself.",
        endpoint_url=endpoint_url(server, listed.name),
        request_schema=listed.input_schema,
        response_schema=listed.output_schema,
        source=server,
        annotations=listed.annotations,
    )


def check_source(source: str, tools: Iterable[Tool]) -> None:
    """Raise `Invalid` when tools of another kind come from a source of the same name."""
    if any(not tool.endpoint_url.startswith(MCP_SCHEME) for tool in tools):
        raise Invalid(f"{source} is the name of an OpenAPI document. Choose another name.")


def _refusal(new: NewTool, valid: dict[str, NewTool], kept: Tool | None) -> str | None:
    """Return why a tool cannot be registered, or None. Checking a schema of thousands of parts takes a second."""
    if new.tool_id in valid:
        return "It is listed twice; the first one counts."
    if kept is not None and kept.source != new.source:
        return "A tool of another source has this id. Unregister it, or choose another name for this source."
    try:
        new.check()
    except Invalid as error:
        return str(error)
    return None


def is_same(new: NewTool, kept: Tool) -> bool:
    """Whether registering a tool would change nothing."""
    names = (
        "name",
        "description",
        "endpoint_url",
        "request_schema",
        "response_schema",
        "auth",
        "source",
        "annotations",
    )
    return (
        all(getattr(new, name) == getattr(kept, name) for name in names)
        and list(new.required_capabilities) == list(kept.required_capabilities)
        and new.called_by == kept.method
        and not kept.missing
    )
