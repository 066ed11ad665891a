"""The tool `build_loadout`: it gives an agent the memories and tools to start a task with."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Annotated, Any, Final, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from memos_mcp.app import App
from memos_mcp.domain.index import Span
from memos_mcp.domain.loadout import BYTES_PER_TOKEN, MAX_NEEDS, MAX_PACK_TOKENS, MEMORY_TOKENS, TOOL_TOKENS
from memos_mcp.domain.memory import MemoryHit, MemoryKind
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import ToolHit
from memos_mcp.mcp_server.memory_results import Excerpt
from memos_mcp.mcp_server.response_budget import SHARE_CHARS, compact, excerpt
from memos_mcp.mcp_server.tool_definition import READS, StrictArguments, Strings, ToolDefinition, whole
from memos_mcp.mcp_server.toolbox_tools import shown_schemas, tool_fields
from memos_mcp.retrieval.packing import PINNED, Pack, PackItem, pack
from memos_mcp.services.loadouts import Gathered, Hit, Proposals

Form = dict[str, Any]
PackTokens = Annotated[int, Field(ge=0, le=MAX_PACK_TOKENS), BeforeValidator(whole)]

_SAMPLE_SCORE: Final = 0.1234
"""The longest form of a score."""


class BuildLoadout(StrictArguments):
    """The arguments of `build_loadout`."""

    task: Annotated[str, Field(description="In words.")]
    name: Annotated[str | None, Field(description="A loadout of this server.")] = None
    needs: Annotated[
        Strings | None, Field(min_length=1, max_length=MAX_NEEDS, description="Parts of the task, each to be covered.")
    ] = None
    memory_tokens: Annotated[PackTokens | None, Field(description=f"Default {MEMORY_TOKENS}.")] = None
    tool_tokens: Annotated[PackTokens | None, Field(description=f"Default {TOOL_TOKENS}.")] = None


class PackedMemory(TypedDict):
    """A memory in a pack. `tokens` is what it costs; `excerpt` says which part of a long one is shown."""

    memory_id: str
    content: str
    kind: MemoryKind
    tags: list[str]
    excerpt: NotRequired[Excerpt]
    reason: str
    score: NotRequired[float]
    tokens: int


class PackedTool(TypedDict):
    """A tool in a pack. `omitted` names schemas that were left out for want of room."""

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    method: str
    auth: NotRequired[str]
    required_capabilities: list[str]
    request_schema: NotRequired[dict[str, Any]]
    response_schema: NotRequired[dict[str, Any]]
    omitted: NotRequired[list[str]]
    reason: str
    score: NotRequired[float]
    tokens: int


class Spent(TypedDict):
    """A budget and what was used of it."""

    used: int
    budget: int


class Budgets(TypedDict):
    """Both budgets, in tokens: UTF-8 bytes of the compact JSON of what is sent, divided by 4, rounded up."""

    memories: Spent
    tools: Spent


class LeftOut(TypedDict):
    """Found, but without room. `withheld`: tools that ask for a capability which the agent lacks."""

    memories: int
    tools: int
    withheld: int


class BuiltLoadout(TypedDict):
    """The result of `build_loadout`. `missing` names pins that no longer exist.

    uncovered: null when a need is in a script that the embedding model cannot read, and no words cover it.
    """

    name: str | None
    role: str | None
    capabilities: list[str] | None
    memories: list[PackedMemory]
    tools: list[PackedTool]
    tokens: Budgets
    uncovered: list[str] | None
    missing: list[str]
    left_out: LeftOut
    degraded: str | None
    note: NotRequired[str]


async def build_loadout(app: App, scope: Scope, arguments: BuildLoadout) -> Mapping[str, Any]:
    """Pack the memories and tools for a task into their budgets."""
    gathered = await app.loadouts.gather(scope, arguments.name, arguments.task, arguments.needs or ())
    loadout = gathered.loadout
    memory_budget = loadout.memory_tokens if arguments.memory_tokens is None else arguments.memory_tokens
    tool_budget = loadout.tool_tokens if arguments.tool_tokens is None else arguments.tool_tokens
    memory_pack, memories = _packed(gathered.memories, _memory_forms, _memory_content, memory_budget)
    tool_pack, tools = _packed(gathered.tools, _tool_forms, _tool_content, tool_budget)
    covered = memory_pack.covered | tool_pack.covered
    cramped = (memory_pack.cramped | tool_pack.cramped) - covered
    notes = [
        *_over("memories", memory_pack, memories, memory_budget),
        *_over("tools", tool_pack, tools, tool_budget),
        *_notes(len(cramped), memories, tools),
    ]
    answer: dict[str, Any] = {
        "name": loadout.name,
        "role": loadout.role,
        "capabilities": None if loadout.capabilities is None else list(loadout.capabilities),
        "memories": memories,
        "tools": tools,
        "tokens": {"memories": _spent(memories, memory_budget), "tools": _spent(tools, tool_budget)},
        "uncovered": _uncovered(gathered, covered),
        "missing": [*gathered.memories.missing, *gathered.tools.missing],
        "left_out": {
            "memories": memory_pack.left_out,
            "tools": tool_pack.left_out,
            "withheld": gathered.tools.withheld,
        },
        "degraded": gathered.degraded,
    }
    return answer | ({"note": " ".join(notes)} if notes else {})


def _uncovered(gathered: Gathered, covered: AbstractSet[int]) -> list[str] | None:
    """Return the needs that nothing covers, None if the model could not read one of them."""
    uncovered = {index: need for index, need in enumerate(gathered.needs) if index not in covered}
    unjudged = gathered.memories.unjudged | gathered.tools.unjudged
    return list(uncovered.values()) if unjudged.isdisjoint(uncovered) else None


def tokens(value: object) -> int:
    """Estimate the tokens of a value and the comma after it: UTF-8 bytes of its compact JSON / 4, rounded up."""
    return -(-(len(compact(value).encode()) + 1) // BYTES_PER_TOKEN)


def _packed(
    proposals: Proposals[Hit], forms_of: Callable[[Hit], list[Form]], content_of: Callable[[Hit], object], budget: int
) -> tuple[Pack, list[Form]]:
    """Return the pack, and its items in the form that is sent."""
    forms = {key: forms_of(hit) for key, hit in proposals.hits.items()}
    reasons = dict.fromkeys(proposals.hits, PINNED)
    for ask in proposals.asks:
        for find in ask.finds:
            reasons[find.key] = max(reasons[find.key], ask.reason, key=lambda reason: len(reason.encode()))
    ordered = dict.fromkeys([*proposals.pins, *proposals.hits])
    offers = [PackItem(key, content_of(proposals.hits[key]), _costs(forms[key], reasons[key])) for key in ordered]
    chosen = pack(offers, proposals.pins, proposals.asks, budget, MAX_PACK_TOKENS)
    sent = [_sent(forms[one.key][one.form], one.reason, one.score) for one in chosen.chosen]
    return chosen, sent


def _costs(forms: Sequence[Form], reason: str) -> list[int]:
    """Return the highest cost of each form, over all reasons that it can be sent with."""
    return [tokens(form | {"reason": reason, "score": _SAMPLE_SCORE, "tokens": 2 * MAX_PACK_TOKENS}) for form in forms]


def _sent(form: Form, reason: str, score: float | None) -> Form:
    item = form | {"reason": reason} | ({} if score is None else {"score": score})
    return item | {"tokens": tokens(item | {"tokens": tokens(item | {"tokens": 0})})}


def _memory_forms(hit: MemoryHit) -> list[Form]:
    """Return the whole memory and, if that is shorter, its best passage alone."""
    memory = hit.memory
    content = memory.content
    item = {"memory_id": str(memory.memory_id), "content": content, "kind": memory.kind, "tags": list(memory.tags)}
    part = hit.span or Span(0, 0)
    if part == (0, 0) or len(compact(content[slice(*part)])) > SHARE_CHARS:
        part = excerpt(content, Span(part.start, part.start), SHARE_CHARS)
    if part.end - part.start == len(content):
        return [item]
    marked = {"start": part.start, "end": part.end, "length": len(content)}
    short = item | {"content": content[slice(*part)], "excerpt": marked}
    return [item, short] if tokens(short) < tokens(item) else [item]


def _memory_content(hit: MemoryHit) -> object:
    return hit.memory.content


def _tool_forms(hit: ToolHit) -> list[Form]:
    """Return the tool with both schemas, with a large response schema in short, without it, and without either."""
    bare = tool_fields(hit.tool)
    schemas, shortened = shown_schemas(hit.tool)
    forms: list[Form] = [bare | schemas | shortened]
    names = list(schemas)
    for kept in range(len(names) - 1, -1, -1):
        shorter = bare | {name: schemas[name] for name in names[:kept]} | {"omitted": names[kept:]}
        if tokens(shorter) < tokens(forms[-1]):
            forms.append(shorter)
    return forms


def _tool_content(hit: ToolHit) -> object:
    tool = hit.tool
    return compact([tool.name, tool.description, tool.endpoint_url, tool.request_schema])


def _spent(items: Sequence[Mapping[str, Any]], budget: int) -> Spent:
    return {"used": sum(item["tokens"] for item in items), "budget": budget}


def _over(kind: str, packed: Pack, items: Sequence[Mapping[str, Any]], budget: int) -> Iterator[str]:
    if packed.over:
        used = _spent(items, budget)["used"]
        yield f"The pinned {kind} alone take {used:,} of {budget:,} tokens: no other {kind} were added."


def _notes(cramped: int, memories: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if cramped:
        yield f"Of the uncovered, {cramped} had a match for which there was no room: allow more tokens."
    if parts := sum("excerpt" in memory for memory in memories):
        yield f"{parts} memories are shown in part, see excerpt: query_memory shows more of them."
    if bare := sum("omitted" in tool for tool in tools):
        yield f"{bare} tools lack a schema, see omitted: discover_tools shows it, with the tool_id and detail='full'."


BUILD_LOADOUT: Final = ToolDefinition(
    name="build_loadout",
    right="read",
    title="Build a loadout",
    description=(
        "At the start of a task: its memories and tools in one pack within token budgets. "
        "uncovered: needs with nothing near, null if unknown; left_out: what had no room."
    ),
    arguments=BuildLoadout,
    result=BuiltLoadout,
    effects=READS,
    call=build_loadout,
)
