"""The toolbox tools: `register_tool` and `discover_tools`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.request_locations import Method
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import Detail, NewTool, RegistrationOutcome, Tool, ToolFilter, ToolHit, ToolQuery
from memos_mcp.mcp_server.response_budget import fit_tools
from memos_mcp.mcp_server.schema_excerpt import shortened
from memos_mcp.mcp_server.tool_definition import READS, Effects, StrictArguments, Strings, ToolDefinition, whole


class RegisterTool(StrictArguments):
    """The arguments of `register_tool`."""

    tool_id: Annotated[str, Field(description="Unique; registering again updates it.")]
    name: str
    description: Annotated[str, Field(description="What it does and when to use it: this is searched.")]
    endpoint_url: Annotated[str, Field(description="URL without secrets; {name} is filled in.")]
    method: Annotated[Method | None, Field(description="Default POST.")] = None
    request_schema: Annotated[
        dict[str, Any] | None,
        Field(description="JSON Schema of its input; x-in of a property: path, query, header, body."),
    ] = None
    response_schema: Annotated[dict[str, Any] | None, Field(description="Of its output.")] = None
    required_capabilities: Strings = Field(default_factory=list, description="What an agent needs to use it.")
    auth: Annotated[str | None, Field(description="Name of its credential.")] = None


class UnregisterTool(StrictArguments):
    """The arguments of `unregister_tool`."""

    tool_id: str


class DiscoverTools(StrictArguments):
    """The arguments of `discover_tools`."""

    query: Annotated[str | None, Field(description="In words, or its tool_id or name. Without: a list.")] = None
    queries: Annotated[
        Strings | None,
        Field(min_length=1, max_length=8, description="Several needs, instead of query."),
    ] = None
    required_capabilities: Annotated[Strings | None, Field(description="Must need all.")] = None
    agent_capabilities: Annotated[Strings | None, Field(description="What you have.")] = None
    limit: Annotated[int, Field(ge=1, le=50), BeforeValidator(whole)] = 5
    detail: Annotated[Detail, Field(description="full adds the schemas.")] = "summary"


class RegisteredTool(TypedDict):
    """The result of `register_tool`."""

    tool_id: str
    outcome: RegistrationOutcome
    version: int
    indexed: bool
    note: NotRequired[str]


class UnregisteredTool(TypedDict):
    """The result of `unregister_tool`."""

    tool_id: str
    outcome: Literal["unregistered", "unknown"]


class PastUse(TypedDict):
    """How many past tasks near the need a tool was used for, and how many of them it worked for."""

    tasks: int
    worked: int


class FoundTool(TypedDict):
    """A tool in an answer; `score` is null in a listing. `omitted` names what was left out or cut for want of room."""

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    method: str
    auth: NotRequired[str]
    required_capabilities: NotRequired[list[str]]
    score: float | None
    signals: dict[str, float | PastUse]
    request_schema: NotRequired[dict[str, Any]]
    response_schema: NotRequired[dict[str, Any]]
    omitted: NotRequired[list[str]]


class FoundTools(TypedDict):
    """The result of `discover_tools`."""

    tools: list[FoundTool]
    total: int
    has_more: bool
    withheld: int
    confident: bool | None
    degraded: str | None
    note: NotRequired[str]


async def register_tool(app: App, scope: Scope, arguments: RegisterTool) -> RegisteredTool:
    """Register one tool in the connection's namespace."""
    done = await app.tools.register(scope, NewTool(**dict(arguments)))
    return {"tool_id": done.tool_id, "outcome": done.outcome, "version": done.version, "indexed": done.indexed}


async def unregister_tool(app: App, scope: Scope, arguments: UnregisterTool) -> UnregisteredTool:
    """Delete one tool of the connection's namespace."""
    done = await app.tools.unregister(scope, [arguments.tool_id])
    return {"tool_id": arguments.tool_id, "outcome": "unregistered" if done else "unknown"}


async def discover_tools(app: App, scope: Scope, arguments: DiscoverTools) -> Mapping[str, Any]:
    """Find or list tools, as many as fit the answer's size."""
    if arguments.query is not None and arguments.queries is not None:
        raise Invalid("Give query or queries, not both: queries takes several needs, query one.")
    texts = [arguments.query] if arguments.query is not None else arguments.queries or []
    wanted = ToolFilter(arguments.required_capabilities, arguments.agent_capabilities)
    page = await app.tools.discover(scope, ToolQuery(texts, wanted, arguments.limit))
    found = [_found(hit) for hit in page.hits]
    if arguments.detail == "summary":
        return fit_tools(page, found, None)
    schemas = [shown_schemas(hit.tool) for hit in page.hits]
    marked = [one | omitted for one, (_, omitted) in zip(found, schemas, strict=True)]
    return fit_tools(page, marked, [own for own, _ in schemas])


def _found(hit: ToolHit) -> dict[str, Any]:
    past = {} if hit.experience is None else {"experience": hit.experience._asdict()}
    return {**tool_fields(hit.tool), "score": hit.score, "signals": {**hit.signals, **past}}


def tool_fields(tool: Tool) -> dict[str, Any]:
    """Return a tool as answers show it, without its schemas."""
    return {
        "tool_id": tool.tool_id,
        "name": tool.name,
        "description": tool.description,
        "endpoint_url": tool.endpoint_url,
        "method": tool.method,
        **({} if tool.auth is None else {"auth": tool.auth}),
        "required_capabilities": list(tool.required_capabilities),
    }


def shown_schemas(tool: Tool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of a tool, and the member `omitted` if the response_schema is shortened."""
    short = shortened(tool.response_schema)
    both = {"request_schema": tool.request_schema, "response_schema": short or tool.response_schema}
    given = {name: dict(schema) for name, schema in both.items() if schema is not None}
    return given, {} if short is None else {"omitted": ["response_schema"]}


REGISTER_TOOL: Final = ToolDefinition(
    name="register_tool",
    right="tools",
    title="Register a tool",
    description="Make a tool known, so that any agent here can discover it.",
    arguments=RegisterTool,
    result=RegisteredTool,
    effects=Effects(destructive=True, idempotent=True),
    call=register_tool,
)

UNREGISTER_TOOL: Final = ToolDefinition(
    name="unregister_tool",
    right="tools",
    title="Unregister a tool",
    description="Remove a tool for all agents here.",
    arguments=UnregisterTool,
    result=UnregisteredTool,
    effects=Effects(destructive=True, idempotent=True),
    call=unregister_tool,
)

DISCOVER_TOOLS: Final = ToolDefinition(
    name="discover_tools",
    right="read",
    title="Discover tools",
    description=(
        "Find a tool for what you cannot do, best first. confident true: the first fits; null: read before use. "
        "For its schemas, ask again with the tool_id as query and detail full."
    ),
    arguments=DiscoverTools,
    result=FoundTools,
    effects=READS,
    call=discover_tools,
)
