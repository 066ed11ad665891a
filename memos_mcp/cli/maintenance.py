"""The commands that maintain the stored data: migrate, reindex, doctor."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import anyio
from tqdm import tqdm

from memos_mcp import __version__
from memos_mcp.app import App, assemble, open_app
from memos_mcp.domain.engines import BuildProgress, RunningEngine
from memos_mcp.domain.erasures import Erasures
from memos_mcp.domain.index import ITEM_KINDS, ItemKind
from memos_mcp.postgres.callers_role import SLOW_SEARCHES, count_unused_indexes
from memos_mcp.postgres.database import POLLING
from memos_mcp.postgres.embedded.data_folder import former_folders
from memos_mcp.services.doctor import Diagnosis
from memos_mcp.settings import Settings

PURGED_TABLES: Final = (
    "The tables are rewritten. The write-ahead log, replicas and backups of the server are its operator's to renew."
)

PROGRESS_SECONDS: Final = 0.1
LONG_PROGRESS_SECONDS: Final = 1.0
LONG_QUEUE: Final = 1_000
"""Counting a long queue takes milliseconds; doing so ten times a second would slow down the indexer."""


async def migrate(settings: Settings) -> int:
    """Open the database, which applies missing migrations."""
    app = assemble(settings)
    try:
        print(f"PostgreSQL {await app.database.server_version()}: the schema is up to date.")
    finally:
        await app.close()
    return 0


async def reindex(settings: Settings, *, fresh: bool) -> int:
    """Queue everything or request a new generation, and wait for it unless a running server does the work."""
    async with open_app(settings) as app:
        count = await app.reindex(fresh=fresh)
        print(f"{count:,} memories and tools {'are added to a new generation' if fresh else 'are queued'}.")
        return await show_indexing(app)


async def prune(settings: Settings) -> int:
    """Remove the generation of another model that is kept, also while a server runs."""
    app = assemble(settings)
    try:
        removed = await app.index.prune()
    finally:
        await app.close()
    print("The kept generation of the index is removed." if removed else "No generation of the index is kept.")
    return 0


async def purge(settings: Settings) -> int:
    """Rewrite all files, so that nothing of erased memories remains in them; return as `reindex` does."""
    async with open_app(settings) as app:
        print("Rewriting the tables; writes wait until it is done.")
        emptied = await app.erasures.purge()
        print("The tables are rewritten." if emptied else PURGED_TABLES)
        await app.index.prune()
        count = await app.reindex(fresh=True)
        print(f"{count:,} memories and tools are added to a new generation of the index, which replaces the files.")
        return await show_indexing(app)


async def show_indexing(app: App) -> int:
    """Show progress until nothing remains to index; return 1 when items could not be indexed yet.

    When another process holds the index, that process does the work, and 0 is returned at once.
    """
    await app.indexer.wait_until_opened()
    if app.indexer.error is not None:
        print(f"{app.indexer.error} The process that holds the index does the rest, now or when it runs again.")
        return 0
    remaining, most = await _count_remaining(app)
    with tqdm(total=most, unit="item", desc="indexed", mininterval=0.5) as bar:
        while remaining and not await _stuck(app):
            await anyio.sleep(PROGRESS_SECONDS if remaining < LONG_QUEUE else LONG_PROGRESS_SECONDS)
            remaining, total = await _count_remaining(app)
            bar.total = most = max(most, total)
            bar.update(max(0, most - remaining - bar.n))
        if remaining:  # the indexer may have become idle since the last count
            remaining, _ = await _count_remaining(app)
    if remaining:
        print(f"{remaining:,} could not be indexed yet; the next server retries them. See: memos-as doctor")
    return 1 if remaining else 0


async def _count_remaining(app: App) -> tuple[int, int]:
    """Return how many items remain to be indexed, and that with those which a requested generation has already."""
    depth = sum((await app.queue.state()).depth.values())
    if await app.log.rebuild_requested() is None:
        return depth, depth
    progress = app.indexer.build_progress
    if progress is None:
        return depth + 1, depth + 1
    return depth + max(1, progress.total - progress.done), depth + progress.total  # 1: its graph, and the swap


async def _stuck(app: App) -> bool:
    """Whether the rest has to wait: a component is unavailable, a rebuild failed, or failed items are retried later."""
    if app.indexer.error is not None:
        return True
    if not app.indexer.idle or (await app.queue.state()).unclaimed:
        return False  # an idle indexer has not noticed yet what was queued right now
    return app.indexer.rebuild_failed or await app.log.rebuild_requested() is None


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Print the diagnosis; return 1 when there is a problem."""
    app = assemble(settings)
    try:
        server = await app.database.server_version()  # raises what is wrong with the role of callers
        slow = await _slow_searches(app)
        diagnosis = await app.doctor.diagnose()
    finally:
        await app.close()
    if as_json:
        payload = {"version": __version__, "postgres": server, "notifications": app.database.has_sessions}
        payload |= {"database_role": app.database.callers_role, "slow_searches": bool(slow)}
        print(json.dumps({**payload, **asdict(diagnosis)}, default=str))
    else:
        polling = [] if app.database.has_sessions else [POLLING]
        notices = [*polling, *slow, *_former_data(settings)]
        print("\n".join(_lines(diagnosis, server, _wall_lines(app), notices)))
    return 1 if diagnosis.problems else 0


def _former_data(settings: Settings) -> list[str]:
    """Return a notice for each data folder that an upgrade or a restore has replaced."""
    if settings.database_url is not None:
        return []
    return [
        f"{path} is the data folder before an upgrade or a restore, and has what was erased since. Delete it when you "
        "are sure."
        for path in former_folders(settings.postgres_folder)
    ]


async def _slow_searches(app: App) -> list[str]:
    """Return the notice that row-level security keeps searches from using an index, if it does."""
    if app.database.callers_role is None:
        return []
    async with app.database.everything.connection() as connection:
        return [SLOW_SEARCHES] if await count_unused_indexes(connection) else []


def _wall_lines(app: App) -> list[str]:
    """Return how namespaces are kept apart; the bundled server has no roles to do it with."""
    if app.database.is_embedded:
        return []
    if app.database.callers_role is None:
        return [f"{'walls:':10} off; MEMOS_DATABASE_ROLE names a role for them"]
    return [f"{'walls:':10} on; what serves a caller runs as the role {app.database.callers_role}"]


def _lines(diagnosis: Diagnosis, server: str, walls: Sequence[str], notices: Sequence[str]) -> list[str]:
    index = diagnosis.index
    at = diagnosis.reported_at
    since = "read right now" if at is None else f"as reported by the process that holds it at {at}"
    waited = "empty"
    if diagnosis.queue.oldest is not None:
        waited = f"oldest wait {(datetime.now(UTC) - diagnosis.queue.oldest).total_seconds():,.0f} s"
    return [
        f"memos-as {__version__}, PostgreSQL {server}",
        *walls,
        f"{'model:':10} {diagnosis.model}, {diagnosis.computed:,} embeddings computed",
        f"{'index:':10} " + (f"generation {index.generation}, {since}" if index else "not available"),
        *(_kind_line(diagnosis, kind) for kind in ITEM_KINDS),
        *(_engine_line(engine) for engine in diagnosis.engines),
        f"{'queue:':10} {waited}, last error: {diagnosis.queue.last_error or 'none'}",
        *_building_lines(diagnosis.building),
        *_erasure_lines(diagnosis.erasures),
        *(f"notice:    {notice}" for notice in (*diagnosis.notices, *notices)),
        *(f"problem:   {problem}" for problem in diagnosis.problems),
        "something is wrong" if diagnosis.problems else "all is well",
    ]


def _building_lines(building: BuildProgress | None) -> list[str]:
    if building is None:
        return []
    remaining = (
        "" if building.seconds_remaining is None else f", about {building.seconds_remaining / 60:,.0f} min remaining"
    )
    return [f"{'building:':10} {building.done:,} of {building.total:,} items are in a new generation{remaining}"]


def _erasure_lines(erasures: Erasures) -> list[str]:
    if not erasures.erased:
        return []
    line = f"{'erased:':10} {erasures.erased:,} memories, of which {erasures.stored:,} are in the record again"
    if not erasures.unpurged:
        return [f"{line}; the files were rewritten since"]
    return [line, f"{'':10} {erasures.unpurged:,} since the files were last rewritten: memos-as purge does that"]


def _kind_line(diagnosis: Diagnosis, kind: ItemKind) -> str:
    items, points = (
        (diagnosis.index.items.get(kind, 0), diagnosis.index.points.get(kind, 0)) if diagnosis.index else (0, 0)
    )
    return (
        f"{kind + ':':10} {diagnosis.rows[kind]:>10,} rows {items:>10,} indexed "
        f"{points:>10,} points {diagnosis.queue.depth.get(kind, 0):>8,} queued"
    )


def _engine_line(engine: RunningEngine) -> str:
    seen = max(0.0, (datetime.now(UTC) - engine.seen_at).total_seconds())
    index = engine.index
    held = "no index open"
    if index is not None:
        counts = ", ".join(f"{index.items.get(kind, 0):,} {kind} items" for kind in ITEM_KINDS)
        held = f"generation {index.generation} with {counts}, {sum(index.points.values()):,} points"
    return f"{'engine:':10} {engine.name}, version {engine.version}, seen {seen:,.0f} s ago, {held}"
