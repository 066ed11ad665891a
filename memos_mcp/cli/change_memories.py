"""The commands that forget, erase and restore memories.

Forgetting asks the engine, which has the model that names the vectors to erase. Restoring needs the record only.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import anyio

from memos_mcp.app import App
from memos_mcp.cli.engine_session import engine_session
from memos_mcp.cli.memory_table import print_memories
from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json, print_lines
from memos_mcp.cli.show_memories import NOTHING_FOUND, conditions, row_of
from memos_mcp.domain.memory import MemoryFilter
from memos_mcp.domain.memory_changes import Forgotten, Selection
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server.memory_results import named
from memos_mcp.settings import Settings

MAX_IDS: Final = 100
"""How many ids one call of `forget_memory` takes and returns."""

WRONG_ARGUMENTS: Final = 2

CANNOT_ASK: Final = (
    "forget asks before it forgets, on a terminal only. Add --yes, or --dry-run to see what it would forget."
)
NOTHING_FORGOTTEN: Final = "Nothing was forgotten."
ERASED_FOR_EVER: Final = "This cannot be undone."


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What to forget, by ids or by a filter, and how."""

    ids: Sequence[str]
    filter: MemoryFilter
    erase: bool
    dry_run: bool
    ask: bool
    as_json: bool

    @property
    def verb(self) -> str:
        return "erase" if self.erase else "forget"


async def forget(settings: Settings, *, wanted: Forgetting) -> int:
    """Forget or erase memories after a question; return 1 when one is missing, or the answer is no."""
    if wanted.ask and not wanted.dry_run and not _can_ask(wanted):
        notice(CANNOT_ASK)
        return WRONG_ARGUMENTS
    async with opened_record(settings) as (app, scope):
        ids = [await app.memory_changes.resolve(scope, text) for text in wanted.ids]
        selection = Selection(ids) if ids else Selection(filter=wanted.filter)
        found = await app.memory_changes.select(scope, selection, erase=wanted.erase)
        if found.missing:
            notice(f"Not in namespace {scope.namespace}: {named(found.missing)}.")
        if not found.memory_ids:
            notice(NOTHING_FOUND)
        elif wanted.dry_run or wanted.ask:
            await _show(app, scope, found, wanted)
    if wanted.dry_run or not found.memory_ids:
        return _finish(found, wanted, done=False)
    if wanted.ask and not await _agreed(found, wanted):
        notice(NOTHING_FORGOTTEN)
        return 1
    await _forget(found, ids, wanted)
    return _finish(found, wanted, done=True)


async def restore(settings: Settings, *, ids: Sequence[str], as_json: bool) -> int:
    """Restore forgotten memories; return 1 when one of them could not be restored."""
    async with opened_record(settings) as (app, scope):
        asked = [await app.memory_changes.resolve(scope, text) for text in ids]
        restored = await app.memory_changes.restore(scope, asked)
    failed = [memory_id for memory_id in asked if memory_id not in restored]
    if as_json:
        print_json({"restored": sorted(map(str, restored)), "failed": list(map(str, failed))})
    else:
        print_lines(sorted(map(str, restored)))
    for memory_id in failed:
        notice(f"{memory_id} cannot be restored: it was not forgotten, was erased, or its content was stored again.")
    return 1 if failed else 0


def _can_ask(wanted: Forgetting) -> bool:
    return not wanted.as_json and sys.stdin.isatty() and sys.stdout.isatty()


async def _forget(found: Forgotten, ids: Sequence[UUID], wanted: Forgetting) -> None:
    """Have the engine forget what was found, if that is still the same."""
    chosen = [str(memory_id) for memory_id in dict.fromkeys(ids) if memory_id not in found.missing]
    parts: list[dict[str, Any]] = [
        {"memory_ids": chosen[start : start + MAX_IDS]} for start in range(0, len(chosen), MAX_IDS)
    ]
    notes = []
    async with engine_session() as engine:
        for selection in parts or [{"filter": conditions(wanted.filter)}]:
            expect = len(selection.get("memory_ids", found.memory_ids))
            answer = await engine.call("forget_memory", {**selection, "erase": wanted.erase, "expect": expect})
            notes.append(answer.get("note"))
    if notes[-1] and len(found.memory_ids) <= MAX_IDS:  # of more, it says that it does not list all
        notice(notes[-1])


async def _show(app: App, scope: Scope, found: Forgotten, wanted: Forgetting) -> None:
    """Show what would be forgotten, except for scripts."""
    if wanted.as_json:
        return
    page = await app.memories.read(scope, found.memory_ids)
    print_memories([row_of(hit) for hit in page.hits])
    if page.missing:
        notice(f"Not live, and therefore not shown: {named(page.missing)}.")


async def _agreed(found: Forgotten, wanted: Forgetting) -> bool:
    """Ask on the terminal; return whether the answer is yes. Ctrl-C ends the wait, as it does everywhere else."""
    warning = f" {ERASED_FOR_EVER}" if wanted.erase else ""
    print(f"{wanted.verb.capitalize()} {_counted(found)}?{warning} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.platform != "win32":
        await anyio.wait_readable(sys.stdin)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _finish(found: Forgotten, wanted: Forgetting, *, done: bool) -> int:
    """Report what was forgotten, or would be; return the exit code."""
    ids = list(map(str, found.memory_ids))
    if wanted.as_json:
        print_json({"count": len(ids), "memory_ids": ids, "earlier_versions": found.earlier, "done": done})
    elif done:
        print_lines(ids)
        undo = "" if wanted.erase else " To undo it: memos-as restore-memory ID..."
        notice(f"{'Erased' if wanted.erase else 'Forgot'} {_counted(found)}.{undo}")
    elif ids:
        notice(f"This would {wanted.verb} {_counted(found)}.")
    return 1 if found.missing else 0


def _counted(found: Forgotten) -> str:
    count = len(found.memory_ids)
    memories = f"{count:,} {'memory' if count == 1 else 'memories'}"
    if not found.earlier:
        return memories
    return f"{memories} and {found.earlier:,} earlier version{'' if found.earlier == 1 else 's'}"
