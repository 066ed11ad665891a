"""Imports the file of an export: what is stored already is never changed, and running it again adds nothing."""

import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, Final

import anyio
from anyio.lowlevel import checkpoint
from tqdm import tqdm

from memos_mcp.app import open_app
from memos_mcp.archive.export_file import (
    END,
    UNCHANGED,
    ExportContents,
    Line,
    Members,
    check_export,
    is_export,
    read_lines,
)
from memos_mcp.cli.console import cancelled_by_signals
from memos_mcp.cli.importing import ImportProgress, batches, finish, import_file, open_file
from memos_mcp.domain.errors import Invalid
from memos_mcp.postgres.record_line_types import EVENT, FORGOTTEN, LINE_TYPES, MEMORY
from memos_mcp.postgres.record_lines import LineImports
from memos_mcp.settings import Settings

NOT_STORED: Final = "not stored"
MEMBERS: Final = {name: Members(one.columns, one.later_columns) for name, one in LINE_TYPES.items()}


async def import_lines(settings: Settings, *, path: Path, all_namespaces: bool, wait: bool) -> int:
    """Import the file of an export, or else the arguments of a tool in each line."""
    with open_file(path) as file:
        if is_export(file.peek()):
            return await import_export(settings, file, all_namespaces=all_namespaces, wait=wait)
        if all_namespaces:
            raise Invalid(f"--all-namespaces is for an export of memos-as, and {path} is none. {UNCHANGED}")
        return await import_file(settings, file, wait=wait)


async def import_export(settings: Settings, file: BinaryIO, *, all_namespaces: bool, wait: bool) -> int:
    """Check the whole file, then store the lines that are new; return 1 when some were not stored.

    Each batch is one transaction. An interrupted import is resumed by running it again.
    """
    contents = check_export(file, MEMBERS)
    if not all_namespaces:
        _check_scope(settings.namespace, contents)
    progress = ImportProgress()
    with anyio.CancelScope() as stop, cancelled_by_signals(stop):
        async with open_app(settings) as app:
            await store_lines(LineImports(app.database), file, contents, progress.counts)
            await finish(app, progress, wait=wait)
        return 1 if any(NOT_STORED in outcome for outcome in progress.counts) else 0
    return progress.stopped()


async def store_lines(imports: LineImports, file: BinaryIO, contents: ExportContents, counts: Counter[str]) -> None:
    """Store the lines of a file that was checked; count the outcomes, and report the lines that cannot be stored."""
    last = contents.last
    keep = await imports.reserve_numbers(max(last[MEMORY.name], last[FORGOTTEN.name]), last[EVENT.name])
    ids = {} if keep else await _ids_of_same_content(imports, file)
    with tqdm(total=contents.lines.total(), unit="line", unit_scale=True, desc="stored") as bar:
        for batch in _batches(file):
            with anyio.CancelScope(shield=True):  # Ctrl-C takes effect before or after it
                counts.update(await _store(imports, batch, ids, keep_numbers=keep))
            await checkpoint()
            bar.update(len(batch))


def _check_scope(namespace: str, contents: ExportContents) -> None:
    if others := sorted(contents.namespaces - {namespace}):
        raise Invalid(
            f"The export has memories or tools of the namespace {others[0][:80]!a}, and MEMOS_NAMESPACE is "
            f"{namespace[:80]!a}. Set MEMOS_NAMESPACE to that one, or add --all-namespaces to import all of them."
        )


async def _ids_of_same_content(imports: LineImports, file: BinaryIO) -> dict[str, str]:
    """Return, for the memories whose content this home has under another id, that id by theirs."""
    found = dict[str, str]()
    for batch in _batches(file):
        if batch[0].type == MEMORY.name:
            found |= await imports.ids_of_same_content([line.text for line in batch])
    return found


async def _store(imports: LineImports, batch: list[Line], ids: dict[str, str], *, keep_numbers: bool) -> Counter[str]:
    """Store lines of one type; return how many had which outcome."""
    line_type = LINE_TYPES[batch[0].type]
    try:
        inserted = await imports.insert(line_type, [line.text for line in batch], ids, keep_numbers=keep_numbers)
    except Invalid as error:
        raise Invalid(
            f"lines {batch[0].number} to {batch[-1].number}: {error} The lines before them are stored. Correct the "
            "file and run the import again, which stores the rest."
        ) from error
    counts = Counter[str]()
    for position, line in enumerate(batch, start=1):
        if position in inserted.created:
            outcome = "created"
        elif inserted.stored.get(position):
            outcome = "there already"
        elif line.type == MEMORY.name and line.fields["id"] in ids:
            outcome = "there already under another id"
        else:
            outcome = NOT_STORED
            other = position in inserted.stored
            reason = (
                "is stored here with other values"
                if other
                else "was forgotten, erased or replaced here, or has expired"
            )
            tqdm.write(f"line {line.number}: this {line.type} {reason}; nothing of it was changed", file=sys.stderr)
        counts[f"{line.type} lines {outcome}"] += 1
    return counts


def _batches(file: BinaryIO) -> Iterator[list[Line]]:
    """Yield the lines of one type after the other, in batches."""
    file.seek(0)
    for type_, lines in groupby(read_lines(file), attrgetter("type")):
        if type_ != END:
            yield from batches(lines, lambda line: len(line.text))
