"""The tools that change what is stored: `update_memory` and `forget_memory`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryFilter, MemoryKind
from memos_mcp.domain.memory_changes import Clearable, Forgotten, MemoryChange, Selection
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.memory_tools import MAX_READ, Conditions, MemoryId, Time, Unit, not_here
from memos_mcp.mcp_server.tool_definition import (
    ArgumentReader,
    Effects,
    StrictArguments,
    Strings,
    ToolDefinition,
    whole,
)

CONDITIONS: Final = ArgumentReader(Conditions)


class UpdateMemory(StrictArguments):
    """The arguments of `update_memory`."""

    memory_id: MemoryId
    content: str | None = None
    kind: MemoryKind | None = None
    tags: Annotated[Strings | None, Field(description="Added.")] = None
    metadata: Annotated[dict[str, Any] | None, Field(description="Merged; null removes a key.")] = None
    importance: Unit | None = None
    session_id: str | None = None
    occurred_at: Time | None = None
    expires_at: Time | None = None
    replace: Annotated[bool, Field(description="Replace tags and metadata instead.")] = False
    clear: Annotated[list[Clearable], Field(fail_fast=True)] = Field(default_factory=list)
    if_version: Annotated[int | None, Field(ge=1, description="Refuse if changed since."), BeforeValidator(whole)] = (
        None
    )


class ForgetMemory(StrictArguments):
    """The arguments of `forget_memory`."""

    memory_ids: Annotated[list[MemoryId] | None, Field(min_length=1, max_length=MAX_READ)] = None
    filter: Annotated[
        dict[str, Any] | None,
        Field(description="Instead of ids: kind, tags, metadata, session_id, agent_id, since, until."),
    ] = None
    dry_run: Annotated[bool, Field(description="Only count.")] = False
    expect: Annotated[int | None, Field(ge=0, description="The count of the dry_run."), BeforeValidator(whole)] = None
    erase: Annotated[bool, Field(description="Delete for ever.")] = False


class UpdatedMemory(TypedDict):
    """The result of `update_memory`. `supersedes` is the memory that new content replaced."""

    memory_id: str
    version: int
    changed: bool
    indexed: bool
    supersedes: NotRequired[str]
    note: NotRequired[str]


class ForgottenMemories(TypedDict):
    """The result of `forget_memory`. `earlier_versions` are forgotten with the memories that replaced them."""

    count: int
    memory_ids: list[str]
    earlier_versions: int
    done: bool
    note: NotRequired[str]


async def update_memory(app: App, scope: Scope, arguments: UpdateMemory) -> UpdatedMemory:
    """Change one memory in the connection's namespace."""
    done = await app.memory_changes.update(scope, MemoryChange(**dict(arguments)))
    result: UpdatedMemory = {
        "memory_id": str(done.memory_id),
        "version": done.version,
        "changed": done.changed,
        "indexed": done.indexed,
    }
    return result if done.supersedes is None else {**result, "supersedes": str(done.supersedes)}


async def forget_memory(app: App, scope: Scope, arguments: ForgetMemory) -> ForgottenMemories:
    """Forget or erase memories in the connection's namespace, or count them."""
    wanted, note = _filter(arguments.filter)
    selection, changes = Selection(arguments.memory_ids, wanted), app.memory_changes
    if arguments.dry_run:
        return _answer(await changes.select(scope, selection, erase=arguments.erase), note, done=False)
    forget = changes.erase if arguments.erase else changes.forget
    return _answer(await forget(scope, selection, arguments.expect), note, done=True)


def _filter(given: Mapping[str, Any] | None) -> tuple[MemoryFilter | None, str]:
    """Return the filter, and what was read otherwise than written; raise `Invalid` for what `query_memory` refuses."""
    if given is None:
        return None, ""
    understood = CONDITIONS.understand(given)
    try:
        wanted = CONDITIONS.parse(understood.arguments).wanted()
        wanted.check()
    except Invalid as error:
        raise Invalid(f"filter: {error}") from None
    return wanted, understood.note


def _answer(forgotten: Forgotten, note: str, *, done: bool) -> ForgottenMemories:
    answer: ForgottenMemories = {
        "count": len(forgotten.memory_ids),
        "memory_ids": [str(memory_id) for memory_id in forgotten.memory_ids[:MAX_READ]],
        "earlier_versions": forgotten.earlier,
        "done": done,
    }
    notes = [
        note,
        not_here(forgotten.missing) if forgotten.missing else "",
        f"The first {MAX_READ} ids are shown." if len(forgotten.memory_ids) > MAX_READ else "",
        "" if forgotten.dropped else "No answer shows them any more; the index still drops what it holds of them.",
    ]
    return {**answer, "note": " ".join(filter(None, notes))} if any(notes) else answer


UPDATE_MEMORY: Final = ToolDefinition(
    name="update_memory",
    right="write",
    title="Update a memory",
    description=(
        "Correct a memory or its labels; what you leave out stays. New content is a new memory that supersedes it."
    ),
    arguments=UpdateMemory,
    result=UpdatedMemory,
    effects=Effects(destructive=True, idempotent=True),
    call=update_memory,
)

FORGET_MEMORY: Final = ToolDefinition(
    name="forget_memory",
    right="write",
    title="Forget memories",
    description=(
        "Take memories and their earlier versions out of every answer; the owner can restore them unless erased. "
        "With a filter: first dry_run, then expect."
    ),
    arguments=ForgetMemory,
    result=ForgottenMemories,
    effects=Effects(destructive=True, idempotent=True),
    call=forget_memory,
)
