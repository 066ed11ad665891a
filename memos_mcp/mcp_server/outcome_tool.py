"""The tool `report_outcome`, for clients that call tools by themselves."""

from typing import Annotated, Final, NotRequired

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from memos_mcp.app import App
from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.tool_definition import Effects, StrictArguments, ToolDefinition, whole


class ReportOutcome(StrictArguments):
    """The arguments of `report_outcome`."""

    tool_id: str
    task: Annotated[str, Field(description="In words, without secrets.")]
    worked: bool
    why: str | None = None
    milliseconds: Annotated[int | None, BeforeValidator(whole)] = None


class ReportedOutcome(TypedDict):
    """The result of `report_outcome`: recorded in any case, counted once its task is `indexed`."""

    tool_id: str
    indexed: bool
    note: NotRequired[str]


async def report_outcome(app: App, scope: Scope, arguments: ReportOutcome) -> ReportedOutcome:
    """Record what became of a call."""
    indexed = await app.experience.report(scope, ToolOutcome(**dict(arguments)))
    return {"tool_id": arguments.tool_id, "indexed": indexed}


REPORT_OUTCOME: Final = ToolDefinition(
    name="report_outcome",
    right="tools",
    title="Report an outcome",
    description="After using a tool: say if it worked.",
    arguments=ReportOutcome,
    result=ReportedOutcome,
    effects=Effects(destructive=False, idempotent=False),
    call=report_outcome,
)
