"""Records past tasks in a home, as if their outcomes had been reported one by one.

A history is JSON Lines with `task` and `tool_id`: a task, and the tool that worked for it (or did not: `worked` false).
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from memos_mcp.domain.experience import ToolOutcome
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.experience import PostgresExperience
from quality.plans import Plan

AGENT = "history"
BATCH = 500
SEED = 20_260_101
CLEAR = "DELETE FROM past_tasks"


@dataclass(frozen=True, slots=True)
class History:
    """A file of past tasks, how many of its lines count, and the share of them whose tool is replaced by another."""

    file: Path
    count: int | None = None
    wrong: float = 0.0

    @classmethod
    def of(cls, text: str) -> "History":
        """Return the history that an argument names: FILE or FILE:COUNT."""
        file, separator, count = text.rpartition(":")
        return cls(Path(file), int(count)) if separator and count.isdecimal() else cls(Path(text))

    def with_wrong(self, share: float) -> "History":
        return replace(self, wrong=share)


def outcomes(history: History, tools: Sequence[str]) -> list[ToolOutcome]:
    """Return the outcomes of a history. The wrong ones are spread evenly, and their tools are chosen by a seed."""
    chosen = random.Random(SEED)
    found: list[ToolOutcome] = []
    for number, (task, tool, worked) in enumerate(_lines(history)):
        is_wrong = int((number + 1) * history.wrong) > int(number * history.wrong)
        found.append(ToolOutcome(chosen.choice(tools) if is_wrong else tool, task, worked))
    return found


async def record(history: History, plan: Plan, home: Path) -> str:
    """Replace the past tasks of the home, which must not be in use, by those of the history; return what was done."""
    tools = {line["tool_id"] for lines in plan.lines.values() for line in lines}
    given = outcomes(history, sorted(tools))
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.everything.connection() as connection:
            await connection.execute(CLEAR)
        store, scope = PostgresExperience(database), Scope(plan.namespaces[0], AGENT)
        now = datetime.now(UTC)
        parts = [given[start : start + BATCH] for start in range(0, len(given), BATCH)]
        stored = sum([len(await store.add(scope, part, now)) for part in parts])
    finally:
        await database.close()
    return f"{stored:,} outcomes recorded, {len(given) - stored:,} of tools that the dataset lacks"


async def clear(home: Path) -> None:
    """Delete the past tasks that an earlier run recorded."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.everything.connection() as connection:
            await connection.execute(CLEAR)
    finally:
        await database.close()


def _lines(history: History) -> Iterator[tuple[str, str, bool]]:
    with history.file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number == history.count:
                return
            row = json.loads(line)
            yield row["task"], row["tool_id"], row.get("worked", True)
