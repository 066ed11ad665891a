"""Experience: which tools worked for which tasks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import Vector
from memos_mcp.domain.limits import check_name, check_text
from memos_mcp.domain.scope import Scope

MAX_TASK_CHARS: Final = 10_000
MAX_WHY_CHARS: Final = 1_000
MAX_MILLISECONDS: Final = 2**31 - 1
MAX_USES: Final = 32
"""Uses of a tool that are counted: it is well known after so many."""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What became of a call of a tool that served a task; `check()` it before it is stored."""

    tool_id: str
    task: str
    worked: bool
    why: str | None = None
    milliseconds: int | None = None

    def check(self) -> None:
        """Raise `Invalid` when any part cannot be stored exactly."""
        check_name("tool_id", self.tool_id)
        check_text("task", self.task, max_chars=MAX_TASK_CHARS)
        if self.why is not None:
            check_text("why", self.why, max_chars=MAX_WHY_CHARS)
        if self.milliseconds is not None and not 0 <= self.milliseconds <= MAX_MILLISECONDS:
            raise Invalid(f"milliseconds must be from 0 to {MAX_MILLISECONDS:,}.")


class RecordedOutcome(NamedTuple):
    """An outcome that was stored. new: nothing had been recorded for its task before."""

    task_id: UUID
    new: bool


class Reports(NamedTuple):
    """The newest outcomes that one agent reported of one version of a tool for one task.

    tool: the id of its row. behind: how many versions the tool has had since.
    """

    task_id: UUID
    tool: UUID
    agent_id: str
    behind: int
    outcomes: int
    worked: int
    newest: datetime


class Evidence(NamedTuple):
    """What was reported for some tasks, and how often each of some tools was used, up to `MAX_USES`."""

    reports: Sequence[Reports]
    uses: Mapping[UUID, int]


class PastTask(NamedTuple):
    """A task with the number of its outcomes, and how many of them worked."""

    task_id: UUID
    task: str
    outcomes: int
    worked: int
    newest: datetime
    tools: Sequence[str]


class ExperienceStore(Protocol):
    """The record of past tasks and outcomes."""

    async def add(self, scope: Scope, outcomes: Sequence[ToolOutcome], now: datetime) -> list[RecordedOutcome]:
        """Store the outcomes of those tools that the namespace has, and delete the oldest that exceed the bound."""

    async def reports(self, namespace: str, task_ids: Sequence[UUID]) -> list[Reports]:
        """Return what was reported for these tasks of tools that are enabled."""

    async def uses(self, namespace: str, tools: Sequence[UUID]) -> dict[UUID, int]:
        """Return how often these tools were used, up to `MAX_USES`."""

    async def examples(self, namespace: str, model: str, limit: int) -> tuple[list[Reports], Vector]:
        """Return the newest reports of tools that worked and are enabled, and the vectors of their tasks as rows.

        Tasks without a vector of this embedding model, because they are too long or not indexed yet, are left out.
        """

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, "TaskRow"]:
        """Return the tasks that the index should hold, of any namespace."""

    async def past_tasks(self, namespace: str, words: str | None, limit: int) -> list[PastTask]:
        """Return the newest tasks, those that contain these words in any case if some are given."""

    async def text_of(self, namespace: str, task_ids: Sequence[UUID]) -> list[str]: ...

    async def forget(self, namespace: str, task_ids: Sequence[UUID], vectors: Collection[bytes]) -> set[UUID]:
        """Delete tasks, their outcomes, and the vectors of texts with these digests; return those that were there."""


class TaskRow(NamedTuple):
    """A past task as the index is made of it."""

    task_id: UUID
    sequence: int
    namespace: str
    task: str
