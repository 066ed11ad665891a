"""The command that takes in a JSON Lines file of memories or tools."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from tqdm import tqdm

from memos_mcp.app import App, open_app
from memos_mcp.cli.maintenance import indexed
from memos_mcp.cli.serving import scope_of
from memos_mcp.domain.errors import Invalid, MemosError, NotFound
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.mcp_server.memory_tools import STORE_MEMORY
from memos_mcp.mcp_server.toolbox_tools import REGISTER_TOOL
from memos_mcp.settings import Settings

BATCH: Final = 256


@dataclass(slots=True)
class ImportCounts:
    """What became of the lines."""

    outcomes: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: str, lines: int = 1) -> None:
        """Add some lines to an outcome."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + lines


async def import_file(settings: Settings, *, path: Path, wait: bool) -> int:
    """Import every good line and name every bad one; return 1 when there was a bad one.

    Lines are stored in batches of one transaction each, and storing is idempotent: a run that was cut off is
    resumed by running it again, and what is there already is passed over.
    """
    scope, tally = scope_of(settings), ImportCounts()
    with opened(path) as file:
        async with open_app(settings) as app:
            with tqdm(total=os.fstat(file.fileno()).st_size, unit="B", unit_scale=True, desc="stored") as bar:
                for batch in _batches(file):
                    read = {number: new for number, line in batch if (new := _read(number, line, tally)) is not None}
                    await _store(app, scope, read, tally)
                    bar.update(sum(len(line) for _, line in batch))
            print(", ".join(f"{lines:,} {outcome}" for outcome, lines in sorted(tally.outcomes.items())) or "no lines")
            if wait:
                await indexed(app)
    return 1 if "refused" in tally.outcomes else 0


def opened(path: Path) -> BinaryIO:
    """Open a file that was named on the command line."""
    try:
        return path.open("rb")
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error


def _batches(file: BinaryIO) -> Iterator[list[tuple[int, bytes]]]:
    lines = enumerate(file, start=1)
    while batch := list(islice(lines, BATCH)):
        yield batch


def _read(number: int, line: bytes, tally: ImportCounts) -> NewMemory | NewTool | None:
    """Return what a line holds; name the line and the reason when it cannot be taken."""
    if not line.strip():
        return None
    try:
        return _parse(line)
    except Invalid as error:
        _refuse(number, error, tally)
        return None


def _refuse(number: int, error: MemosError, tally: ImportCounts) -> None:
    tally.count("refused")
    tqdm.write(f"line {number}: {error}", file=sys.stderr)


def _parse(line: bytes) -> NewMemory | NewTool:
    """Read one line exactly as the tools read their arguments."""
    try:
        given = json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid("This is not JSON in UTF-8.") from None
    if not isinstance(given, dict):
        raise Invalid("This is not a JSON object.")
    return new_tool(given) if "tool_id" in given else new_memory(given)


def new_memory(given: Mapping[str, Any]) -> NewMemory:
    """Return a memory; raise `Invalid` for what `store_memory` would refuse."""
    new = NewMemory(**dict(STORE_MEMORY.parse(given)))
    new.check()
    return new


def new_tool(given: Mapping[str, Any]) -> NewTool:
    """Return a tool; raise `Invalid` for what `register_tool` would refuse."""
    new = NewTool(**dict(REGISTER_TOOL.parse(given)))
    new.check()
    return new


async def _store(app: App, scope: Scope, batch: Mapping[int, NewMemory | NewTool], tally: ImportCounts) -> None:
    plain = [new for new in batch.values() if isinstance(new, NewMemory) and new.supersedes is None]
    if plain:
        for added in await app.memories.store_many(scope, plain):
            tally.count("memories created" if added.created else "memories there already")
    for number, new in batch.items():
        if isinstance(new, NewTool):
            tally.count(f"tools {(await app.tools.record(scope, new)).outcome}")
        elif new.supersedes is not None:
            await _replace(app, scope, number, new, tally)


async def _replace(app: App, scope: Scope, number: int, new: NewMemory, tally: ImportCounts) -> None:
    try:
        stored = await app.memories.store(scope, new)
    except NotFound as error:
        _refuse(number, error, tally)
    else:
        tally.count("memories created" if stored.created else "memories there already")
