"""The resources that a user attaches in a client: a memory, a tool, or the pack of a loadout, each as JSON."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from mcp import MCPError, types
from mcp.server import ServerRequestContext

from memos_mcp.mcp_server.response_budget import MAX_TOKENS, compact
from memos_mcp.mcp_server.tool_caller import ToolCaller, result_of

Reader = Callable[[ToolCaller, ServerRequestContext[Any], str], Awaitable[Mapping[str, Any] | None]]

SCHEME: Final = "memos://"
JSON: Final = "application/json"


async def read_memory(call: ToolCaller, context: ServerRequestContext[Any], name: str) -> Mapping[str, Any] | None:
    """Return a memory; a very long one as an excerpt, which says so."""
    found = await result_of(call, context, "query_memory", {"memory_ids": [name], "max_tokens": MAX_TOKENS})
    memory: Mapping[str, Any] | None = next(iter(found["memories"]), None)
    return memory


async def read_tool(call: ToolCaller, context: ServerRequestContext[Any], name: str) -> Mapping[str, Any] | None:
    """Return a tool with its schemas."""
    found = await result_of(call, context, "discover_tools", {"query": name, "limit": 1, "detail": "full"})
    return next((tool for tool in found["tools"] if name in (tool["tool_id"], tool["name"])), None)


async def read_loadout(call: ToolCaller, context: ServerRequestContext[Any], name: str) -> Mapping[str, Any] | None:
    """Return the pack of a loadout for the task that its name says."""
    return await result_of(call, context, "build_loadout", {"name": name, "task": name})


class ResourceKind(NamedTuple):
    """A kind of resource: what its template names, and the function that reads one by its name."""

    name: str
    parameter: str
    description: str
    read: Reader


KINDS: Final[Mapping[str, ResourceKind]] = {
    "memories": ResourceKind("memory", "memory_id", "A memory, by its id.", read_memory),
    "tools": ResourceKind("tool", "tool_id", "A tool with its schemas, by its tool_id.", read_tool),
    "loadouts": ResourceKind(
        "loadout", "name", "The role, memories and tools of a loadout of this server.", read_loadout
    ),
}
"""By the first part of their URIs."""

TEMPLATES: Final = types.ListResourceTemplatesResult(
    resource_templates=[
        types.ResourceTemplate(
            name=kind.name,
            title=kind.name.capitalize(),
            uri_template=f"{SCHEME}{part}/{{{kind.parameter}}}",
            description=kind.description,
            mime_type=JSON,
        )
        for part, kind in KINDS.items()
    ]
)


def listed(loadouts: Sequence[str]) -> types.ListResourcesResult:
    """Return the loadouts as resources; memories and tools are too many to list, and are found by the tools."""
    return types.ListResourcesResult(
        resources=[
            types.Resource(
                name=name, uri=f"{SCHEME}loadouts/{quote(name)}", description=f"The loadout {name}.", mime_type=JSON
            )
            for name in loadouts
        ]
    )


async def read_resource(
    call: ToolCaller, context: ServerRequestContext[Any], params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    """Return a resource as JSON; raise `MCPError` when there is none of this URI."""
    _, found = await find(call, context, params.uri)
    content = types.TextResourceContents(uri=params.uri, mime_type=JSON, text=compact(found))
    return types.ReadResourceResult(contents=[content])


async def find(call: ToolCaller, context: ServerRequestContext[Any], uri: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a resource's kind and what it holds; raise `MCPError` when there is none of this URI."""
    part, _, name = uri.removeprefix(SCHEME).partition("/")
    kind = KINDS.get(part) if uri.startswith(SCHEME) else None
    found = await kind.read(call, context, unquote(name)) if kind is not None and name else None
    if kind is None or found is None:
        forms = ", ".join(template.uri_template for template in TEMPLATES.resource_templates)
        raise MCPError(types.INVALID_PARAMS, f"There is no such resource. URIs: {forms}.", {"uri": uri})
    return kind.name, found
