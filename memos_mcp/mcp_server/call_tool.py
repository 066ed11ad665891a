"""The tool `call_tool`, which the server has only where the operator names hosts that may be called."""

import json
from bisect import bisect_right
from collections.abc import Mapping
from typing import Annotated, Any, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.response_budget import HARD_CHARS, compact
from memos_mcp.mcp_server.tool_definition import Effects, StrictArguments, ToolDefinition
from memos_mcp.services.search import check_question

NOTE_CHARS: Final = 400
"""Characters kept for the note and the other fields of an answer."""


class CallTool(StrictArguments):
    """The arguments of `call_tool`."""

    tool_id: str
    arguments: Annotated[dict[str, Any], Field(default_factory=dict, description="As its request_schema says.")]
    task: Annotated[str | None, Field(description="What the call is for, in words: helps to find tools later.")] = None


class ToolCallResult(TypedDict):
    """The result of `call_tool`: the tool's answer, or as much of its text as fits."""

    tool_id: str
    answer: NotRequired[Any]
    answer_begins: NotRequired[str]
    characters_left_out: NotRequired[int]
    status: NotRequired[int]
    note: NotRequired[str]


async def call_tool(app: App, scope: Scope, arguments: CallTool) -> Mapping[str, Any]:
    """Call a registered tool; a failure is an error that says what is known of its effect."""
    if app.tool_calls is None:
        raise Invalid("This server may call no tools: its operator has named no hosts.")
    if arguments.task is not None:
        check_question("task", arguments.task)
    done = await app.tool_calls.call(scope, arguments.tool_id, arguments.arguments, arguments.task)
    shown = _shown(done.value, HARD_CHARS - NOTE_CHARS - len(done.note or ""))
    about = {"status": done.status, "note": done.note}
    return {"tool_id": done.tool_id, **shown, **{name: value for name, value in about.items() if value is not None}}


def _shown(value: Any, limit: int) -> dict[str, Any]:
    """Return an answer, or as much of its text as fits into `limit` characters of JSON."""
    whole = compact(value)
    if _is_sendable(whole):
        if len(whole) <= limit:
            return {"answer": value}
        text = value if isinstance(value, str) else whole
    else:
        text = json.dumps(value)  # an unpaired surrogate is an escape in ASCII
    kept = bisect_right(range(1, min(len(text), limit) + 1), limit, key=lambda length: len(compact(text[:length])))
    return {"answer_begins": text[:kept], "characters_left_out": len(text) - kept}


def _is_sendable(text: str) -> bool:
    """Whether a text has no unpaired surrogate, which JSON can escape and UTF-8 cannot encode."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


CALL_TOOL: Final = ToolDefinition(
    name="call_tool",
    right="tools",
    title="Call a tool",
    description=(
        "Call a tool that discover_tools found; its request_schema (detail full) says how. "
        "It acts in the outside world: note says when it was done, but not as expected."
    ),
    arguments=CallTool,
    result=ToolCallResult,
    effects=Effects(destructive=True, idempotent=False, open_world=True),
    call=call_tool,
)
