"""The commands that list and forget the past tasks from which the search for tools learns."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json, print_rows
from memos_mcp.cli.printable import field
from memos_mcp.domain.experience import PastTask
from memos_mcp.mcp_server.memory_results import rfc3339
from memos_mcp.settings import Settings


async def list_past_tasks(settings: Settings, *, words: str | None, limit: int, as_json: bool) -> int:
    """Print the newest past tasks: when, how many outcomes worked of how many, id, tools and text."""
    async with opened_record(settings) as (app, scope):
        tasks = await app.experience.past_tasks(scope, words, limit)
    rows = [_row_of(task) for task in tasks]
    if as_json:
        print_json({"tasks": rows})
    else:
        print_rows(map(_fields, rows))
    if not rows:
        notice("No past task is recorded that matches.")
    return 0


async def forget_past_tasks(settings: Settings, *, ids: Sequence[UUID]) -> int:
    """Delete past tasks with all that was recorded of them; return 1 when one of them does not exist."""
    async with opened_record(settings) as (app, scope):
        forgotten = await app.experience.forget(scope, ids)
    for task_id in ids:
        if task_id not in forgotten:
            notice(f"{task_id} is no past task of namespace {scope.namespace}.")
    print(f"{len(forgotten)} past tasks forgotten. Run memos-as purge to free the files of their texts, too.")
    return 0 if forgotten.issuperset(ids) else 1


def _row_of(task: PastTask) -> dict[str, Any]:
    return {
        "task_id": str(task.task_id),
        "task": task.task,
        "outcomes": task.outcomes,
        "worked": task.worked,
        "newest": rfc3339(task.newest),
        "tools": list(task.tools),
    }


def _fields(row: dict[str, Any]) -> list[str]:
    worked = f"{row['worked']}/{row['outcomes']}"
    return [row["newest"], worked, row["task_id"], field(",".join(row["tools"])), field(row["task"])]
