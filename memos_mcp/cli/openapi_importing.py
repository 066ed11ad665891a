"""The command that registers the operations of an OpenAPI document as tools, and keeps them in step with it."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync
from tqdm import tqdm

from memos_mcp.app import App, open_app
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals
from memos_mcp.cli.maintenance import show_indexing
from memos_mcp.cli.openapi_fetching import fetch
from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import print_json, print_lines
from memos_mcp.cli.printable import one_line
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, check_endpoint
from memos_mcp.engine.admission import own_scope
from memos_mcp.openapi.api_tools import ApiTools, Choices, tools_of
from memos_mcp.openapi.findings import Finding
from memos_mcp.openapi.security import EVERY_SCHEME
from memos_mcp.services.tool_sources import is_same
from memos_mcp.settings import Settings

SHOWN_OPERATIONS: Final = 3
HEADINGS: Final = {"not added": "Not added", "changed": "Added with changes", "noticed": "To know"}


@dataclass(frozen=True, slots=True)
class OpenApiImport:
    """The arguments of the command."""

    location: str
    source: str | None = None
    include: Sequence[str] = ()
    base_url: str | None = None
    auth: Sequence[str] = ()
    dry_run: bool = False
    wait: bool = True
    as_json: bool = False


@dataclass(slots=True)
class Changes:
    """What a run changes: tools to store, and the ids of the others. `taken`: ids that belong to other tools."""

    added: dict[str, NewTool] = field(default_factory=dict)
    updated: dict[str, NewTool] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)


async def add_openapi(settings: Settings, *, wanted: OpenApiImport) -> int:
    """Register, update and unregister tools so that they are those of the document; return 1 if an id was taken.

    Running it again changes nothing. Ctrl-C takes effect between two writes.
    """
    api = await _read(wanted)
    with anyio.CancelScope() as stop, cancelled_by_signals(stop):
        if wanted.dry_run:
            async with opened_record(settings) as (app, scope):
                changes = await _changes(app, scope, api)
            _report(api, changes, wanted)
            return 1 if changes.taken else 0
        async with open_app(settings) as app:
            changes = await _changes(app, own_scope(settings), api)
            await _store(app, own_scope(settings), changes)
            _report(api, changes, wanted)
            if wanted.wait and (changes.added or changes.updated) and not wanted.as_json:
                await show_indexing(app)
        return 1 if changes.taken else 0
    print("Stopped. What is stored stays; run the same command again to continue.", file=sys.stderr)
    return INTERRUPTED


async def _read(wanted: OpenApiImport) -> ApiTools:
    """Return the tools of the document; raise `Invalid` when there are none, which is never meant."""
    if wanted.base_url is not None:
        try:
            check_endpoint(wanted.base_url)
        except Invalid as error:
            raise Invalid(f"--base-url: {error}") from None
    found = await fetch(wanted.location)
    choices = Choices(
        source=wanted.source,
        include=wanted.include,
        base_url=wanted.base_url,
        credentials=_credentials(wanted.auth),
        address=found.address,
        read_file=found.read_file,
    )
    api = await run_sync(tools_of, found.data, found.name, choices)
    if not api.chosen:
        lines = _finding_lines(api.findings)
        raise Invalid("\n".join(["No operation can become a tool. Nothing was changed.", *lines]))
    return api


def _credentials(auth: Iterable[str]) -> dict[str, str]:
    """Return the names of credentials by security scheme, for arguments `NAME` and `SCHEME=NAME`."""
    found: dict[str, str] = {}
    for written in auth:
        scheme, mark, name = written.rpartition("=")
        check_name("--auth", name)
        found[scheme if mark else EVERY_SCHEME] = name
    return found


async def _changes(app: App, scope: Scope, api: ApiTools) -> Changes:
    """Compare the chosen tools with the stored ones, and those of the source with all operations of the document."""
    stored = {tool.tool_id: tool for tool in await app.tool_sources.every(scope)}
    changes = Changes()
    for tool_id, new in api.tools.items():
        known = stored.get(tool_id)
        if known is not None and known.source != api.source:
            changes.taken += [tool_id] if tool_id in api.chosen else []
        elif tool_id not in api.chosen:
            continue
        elif known is None:
            changes.added[tool_id] = new
        elif is_same(new, known):
            changes.unchanged.append(tool_id)
        else:
            changes.updated[tool_id] = new
    changes.removed += [
        tool_id for tool_id, tool in stored.items() if tool.source == api.source and tool_id not in api.tools
    ]
    return changes


async def _store(app: App, scope: Scope, changes: Changes) -> None:
    tools = [*changes.added.values(), *changes.updated.values()]
    for tool in tqdm(tools, unit="tool", desc="stored", mininterval=0.5, disable=None):
        with anyio.CancelScope(shield=True):
            await app.tools.record(scope, tool)
        await checkpoint()
    if changes.removed:
        with anyio.CancelScope(shield=True):
            await app.tools.unregister(scope, changes.removed)


def _report(api: ApiTools, changes: Changes, wanted: OpenApiImport) -> None:
    """Print what is added, updated, unchanged and removed, and the findings."""
    if wanted.as_json:
        print_json(_as_json(api, changes, dry_run=wanted.dry_run))
    else:
        print_lines(_lines(api, changes, dry_run=wanted.dry_run))


def _as_json(api: ApiTools, changes: Changes, *, dry_run: bool) -> dict[str, Any]:
    return {
        "source": api.source,
        "operations": api.operations,
        "added": list(changes.added),
        "updated": list(changes.updated),
        "unchanged": changes.unchanged,
        "removed": changes.removed,
        "taken": changes.taken,
        "findings": [asdict(finding) for finding in api.findings],
        "dry_run": dry_run,
    }


def _lines(api: ApiTools, changes: Changes, *, dry_run: bool) -> Iterator[str]:
    for word, tools in (("added", changes.added), ("updated", changes.updated)):
        yield from (
            f"{word}: {one_line(tool_id)} ({tool.called_by} {one_line(tool.endpoint_url)})"
            for tool_id, tool in tools.items()
        )
    yield from (f"removed: {one_line(tool_id)}" for tool_id in changes.removed)
    yield from (
        f"not added: {one_line(tool_id)}: another tool has this id; give the source another --name"
        for tool_id in changes.taken
    )
    yield from _finding_lines(api.findings)
    counts = ", ".join(
        f"{len(ids):,} {word}"
        for word, ids in (
            ("added", changes.added),
            ("updated", changes.updated),
            ("unchanged", changes.unchanged),
            ("removed", changes.removed),
        )
    )
    yield f"{one_line(api.source)}: {counts}; operations in the document: {api.operations:,}"
    if dry_run:
        yield "Nothing was stored: this was a dry run."


def _finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the findings, those of one reason together."""
    for effect, heading in HEADINGS.items():
        grouped: Mapping[str, list[str]] = defaultdict(list)
        for finding in findings:
            if finding.effect == effect:
                grouped[finding.reason] += [finding.operation] if finding.operation else []
        if grouped:
            yield f"{heading}:"
        for reason, operations in grouped.items():
            yield f"  {one_line(reason)}{_of(operations)}"


def _of(operations: Sequence[str]) -> str:
    if not operations:
        return ""
    shown = ", ".join(one_line(operation) for operation in operations[:SHOWN_OPERATIONS])
    more = len(operations) - SHOWN_OPERATIONS
    return f" ({shown}{f' and {more:,} more' if more > 0 else ''})"
