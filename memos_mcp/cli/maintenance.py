"""The commands that look after what is stored: migrate, reindex, doctor."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

import anyio
from tqdm import tqdm

from memos_mcp import __version__
from memos_mcp.app import App, assemble, open_app
from memos_mcp.domain.index import ITEM_KINDS, ItemKind
from memos_mcp.services.doctor import Diagnosis
from memos_mcp.settings import Settings

PROGRESS_SECONDS: Final = 0.1
LONG_PROGRESS_SECONDS: Final = 1.0
MANY: Final = 1_000
"""Counting a long queue takes milliseconds, which ten times a second would be felt by what works it off."""


async def migrate(settings: Settings) -> int:
    """Open the database, which applies what is missing."""
    app = assemble(settings)
    try:
        print(f"PostgreSQL {await app.database.server_version()}: the schema is up to date.")
    finally:
        await app.close()
    return 0


async def reindex(settings: Settings, *, fresh: bool) -> int:
    """Queue everything or ask for a new generation, and see it through unless a running server will."""
    async with open_app(settings) as app:
        count = await app.reindex(fresh=fresh)
        print(f"{count:,} memories and tools {'go into a new generation' if fresh else 'are queued'}.")
        return await indexed(app)


async def indexed(app: App) -> int:
    """Show a progress bar until nothing is left to index; leave it to the process that holds the index."""
    await app.indexer.wait_until_opened()
    if app.indexer.error is not None:
        print(f"{app.indexer.error} The rest is done by the process that holds it, or when it is back.")
        return 0
    total = left = await _left(app)
    with tqdm(total=total, unit="item", desc="indexed", mininterval=0.5) as bar:
        while left and not await _stuck(app):
            await anyio.sleep(PROGRESS_SECONDS if left < MANY else LONG_PROGRESS_SECONDS)
            left = await _left(app)
            bar.update(max(0, total - left - bar.n))
        left = left and await _left(app)  # it may have come to rest since they were counted, with nothing left
    if left:
        print(f"{left:,} could not be indexed yet and are tried again by the next server. See: memos-as doctor")
    return 1 if left else 0


async def _left(app: App) -> int:
    state = await app.queue.state()
    rebuilding = await app.log.rebuild_requested() is not None
    return sum(state.depth.values()) + rebuilding


async def _stuck(app: App) -> bool:
    """Whether what is left has to wait: a part is away, a rebuild failed, or items failed and are tried again later."""
    if app.indexer.error is not None:
        return True
    return app.indexer.idle and (app.indexer.rebuild_failed or await app.log.rebuild_requested() is None)


async def doctor(settings: Settings, *, as_json: bool) -> int:
    """Print what was found; return 1 when something is wrong."""
    app = assemble(settings)
    try:
        server = await app.database.server_version()
        diagnosis = await app.doctor.diagnose()
    finally:
        await app.close()
    if as_json:
        print(json.dumps({"version": __version__, "postgres": server, **asdict(diagnosis)}, default=str))
    else:
        print("\n".join(_lines(diagnosis, server)))
    return 1 if diagnosis.problems else 0


def _lines(diagnosis: Diagnosis, server: str) -> list[str]:
    index = diagnosis.index
    since = (
        "read just now" if diagnosis.reported_at is None else f"as reported by its holder at {diagnosis.reported_at}"
    )
    waited = "nothing waits"
    if diagnosis.queue.oldest is not None:
        waited = f"oldest wait {(datetime.now(UTC) - diagnosis.queue.oldest).total_seconds():,.0f} s"
    return [
        f"memos-as {__version__}, PostgreSQL {server}",
        f"{'model:':10} {diagnosis.model}, {diagnosis.computed:,} embeddings computed",
        f"{'index:':10} " + (f"generation {index.generation}, {since}" if index else "not available"),
        *(_kind_line(diagnosis, kind) for kind in ITEM_KINDS),
        f"{'queue:':10} {waited}, last error: {diagnosis.queue.last_error or 'none'}",
        *(f"problem:   {problem}" for problem in diagnosis.problems),
        "all is well" if not diagnosis.problems else "something is wrong",
    ]


def _kind_line(diagnosis: Diagnosis, kind: ItemKind) -> str:
    items, points = (diagnosis.index.items[kind], diagnosis.index.points[kind]) if diagnosis.index else (0, 0)
    return (
        f"{kind + ':':10} {diagnosis.rows[kind]:>10,} rows {items:>10,} indexed "
        f"{points:>10,} points {diagnosis.queue.depth.get(kind, 0):>8,} queued"
    )
