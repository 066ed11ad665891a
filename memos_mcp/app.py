"""The composition root: puts the parts together, and owns their lifetime and the clock."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import getpid
from socket import gethostname
from typing import Any, Final

import anyio

from memos_mcp import __version__
from memos_mcp.composition.adapters import database_of, reranker_of, vector_index_of
from memos_mcp.composition.tool_calling import tool_calls_of
from memos_mcp.domain.engines import EngineRegistry
from memos_mcp.domain.erasures import ErasureStore
from memos_mcp.domain.errors import MemosError, Unavailable
from memos_mcp.domain.index import Embedder, ItemKind, VectorIndex
from memos_mcp.domain.index_log import IndexLog
from memos_mcp.domain.index_queue import IndexQueue
from memos_mcp.domain.memory import MemoryStore
from memos_mcp.domain.tool import ToolStore
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.ingest.loadout_files import LoadoutFiles
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.audit import PostgresAudit
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.engines import PostgresEngines
from memos_mcp.postgres.erasures import PostgresErasures
from memos_mcp.postgres.experience import PostgresExperience
from memos_mcp.postgres.index_log import PostgresIndexLog
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.memory_changes import PostgresMemoryChanges
from memos_mcp.postgres.quotas import PostgresQuotas
from memos_mcp.postgres.row_states import PostgresMemoryRows, PostgresTaskRows, PostgresToolRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.retrieval.context import REACH
from memos_mcp.retrieval.rerank import Reranker
from memos_mcp.services.access_tokens import AccessTokens
from memos_mcp.services.audit_trail import AuditTrail
from memos_mcp.services.call_limits import CallLimits
from memos_mcp.services.doctor import Doctor
from memos_mcp.services.embedders import EmbedderFactory
from memos_mcp.services.experience import Experience
from memos_mcp.services.indexer import Indexer
from memos_mcp.services.ingestion import Ingestion
from memos_mcp.services.loadouts import Loadouts
from memos_mcp.services.memories import Memories
from memos_mcp.services.memory_changes import MemoryChanges
from memos_mcp.services.near_duplicates import NearDuplicates
from memos_mcp.services.projections import MemoryProjection, Projection, ToolProjection
from memos_mcp.services.projector import Projector
from memos_mcp.services.quota_book import QuotaBook
from memos_mcp.services.search import Search
from memos_mcp.services.task_projection import TaskProjection
from memos_mcp.services.token_authenticator import TokenAuthenticator
from memos_mcp.services.tool_calls import ToolCalls
from memos_mcp.services.tool_sources import ToolSources
from memos_mcp.services.tools import Tools
from memos_mcp.settings import Settings
from memos_mcp.telemetry import tracing
from memos_mcp.telemetry.recorder import Recorder
from memos_mcp.telemetry.server_state import ServerState, read_state

CLOSING_SECONDS: Final = 10.0
REMOVING_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class App:
    """The parts that the transports and commands use. Nothing is connected before it is needed."""

    settings: Settings
    memories: Memories
    memory_changes: MemoryChanges
    tools: Tools
    tool_calls: ToolCalls | None
    tool_servers: AbstractAsyncContextManager[object] | None
    tool_sources: ToolSources
    experience: Experience
    ingestion: Ingestion
    history_ingestion: Ingestion
    loadouts: Loadouts
    indexer: Indexer
    doctor: Doctor
    database: Database
    index: VectorIndex
    queue: IndexQueue
    log: IndexLog
    erasures: ErasureStore
    engines: EngineRegistry
    access_tokens: AccessTokens
    token_authenticator: TokenAuthenticator
    quotas: QuotaBook
    call_limits: CallLimits
    telemetry: Recorder
    audit: AuditTrail

    async def state(self) -> ServerState:
        """Return the state of the parts, for metrics, within a bounded time."""
        pool = self.telemetry.pool_state
        return await read_state(self.queue, self.index, self.indexer.build_progress, pool() if pool else None)

    async def readiness(self) -> dict[str, str]:
        """Return, for each part, "ok" or its error."""
        try:
            await self.database.server_version()
            store = "ok"
        except MemosError as error:
            store = str(error)
        return {"postgres": store, "index": self.indexer.error or "ok"}

    async def reindex(self, *, fresh: bool) -> int:
        """Queue everything, or ask for a new generation of the index; return how many items that concerns."""
        if fresh:
            await self.log.request_rebuild()
            return sum((await self.doctor.rows()).values())
        return await self.queue.mark_all()

    async def close(self) -> None:
        """Close the index and the database, within a bounded time."""
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            await self.index.close()
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            await self.database.close()


def open_app(settings: Settings, *, indexing: anyio.Event | None = None) -> AbstractAsyncContextManager[App]:
    """Return a context with an app whose parts start in the background; it is closed at the end.

    With `indexing`, the indexer, which loads the model, only starts when that is set.
    """
    return running(assemble(settings), indexing)


def assemble(settings: Settings) -> App:
    """Choose the parts that the settings name, without connecting to anything."""
    telemetry = Recorder()

    def embedder_for(model: str) -> Embedder:
        return FastEmbedder(model, settings.home, settings.embedding_threads, telemetry)

    database, embedder = database_of(settings, telemetry), embedder_for(settings.embedding_model)
    reranker = reranker_of(settings, telemetry)
    return compose(settings, database, vector_index_of(settings), embedder, reranker, embedder_for, telemetry)


def compose(
    settings: Settings,
    database: Database,
    index: VectorIndex,
    embedder: Embedder,
    reranker: Reranker | None = None,
    embedder_for: EmbedderFactory | None = None,
    telemetry: Recorder | None = None,
) -> App:
    """Put the parts together. `embedder_for` embeds questions for an index that was built for another model."""
    telemetry = telemetry or Recorder()
    quotas, wait = QuotaBook(PostgresQuotas(database), settings.quota), settings.index_wait_seconds
    memories, tools = PostgresMemories(database, quotas), PostgresTools(database, quotas)
    outcomes, erasures, sources = PostgresExperience(database), PostgresErasures(database), ToolSources(tools, _now)
    queue, log, embeddings = PostgresIndexQueue(database), PostgresIndexLog(database), PostgresEmbeddings(database)
    engines = PostgresEngines(database, f"{gethostname()} {getpid()}", __version__, _now())
    projector = _projector(database, embedder, memories, tools, outcomes, shared=not index.exclusive)
    indexer = Indexer(index, queue, log, engines, projector, telemetry, quotas)
    search = Search(index, embedder, indexer, reranker, embedder_for, telemetry)
    near_duplicates = NearDuplicates(memories, index, embeddings, embedder.model, telemetry)
    memory_service = Memories(memories, search, near_duplicates, indexer, _now, wait)
    changes = MemoryChanges(PostgresMemoryChanges(database, quotas), projector, indexer, _now, wait)
    experience = Experience(outcomes, search, projector, indexer, _now, wait, enabled=settings.experience)
    tool_service = Tools(tools, search, experience, indexer, _now, wait)
    tool_calls, servers = tool_calls_of(settings, tools, sources, experience)
    return App(
        settings,
        memory_service,
        changes,
        tool_service,
        tool_calls,
        servers,
        sources,
        experience,
        Ingestion(PostgresSources(database, quotas), _now),
        Ingestion(PostgresSources(database, quotas, history=True), _now),
        Loadouts(memory_service, tool_service, LoadoutFiles(settings.loadouts)),
        indexer,
        Doctor(index, queue, embeddings, engines, erasures, projector, embedder.model),
        database,
        index,
        queue,
        log,
        erasures,
        engines,
        *_access(database),
        quotas,
        CallLimits(quotas),
        telemetry,
        AuditTrail(PostgresAudit(database), settings.audit, _now),
    )


def _projector(
    database: Database,
    embedder: Embedder,
    memories: MemoryStore,
    tools: ToolStore,
    outcomes: PostgresExperience,
    *,
    shared: bool,
) -> Projector:
    projections: Mapping[ItemKind, Projection[Any]] = {
        "memory": MemoryProjection(memories, PostgresMemoryRows(database, REACH)),
        "tool": ToolProjection(tools, PostgresToolRows(database)),
        "task": TaskProjection(outcomes, PostgresTaskRows(database)),
    }
    return Projector(embedder, PostgresEmbeddings(database), projections, shared=shared)


@asynccontextmanager
async def running(app: App, indexing: anyio.Event | None = None) -> AsyncIterator[App]:
    """Connect and index in the background while the context is open; the latter once `indexing` is set, if given."""
    failure: MemosError | None = None
    try:
        async with (
            tracing.exported(app.settings.environment(), app.telemetry),
            anyio.create_task_group() as tasks,
            app.tool_servers or nullcontext(),
        ):
            tasks.start_soon(_warm, app.database)
            tasks.start_soon(_index, app, indexing)
            tasks.start_soon(app.token_authenticator.record_uses)
            tasks.start_soon(app.quotas.keep)
            tasks.start_soon(app.loadouts.watches.run)
            tasks.start_soon(app.audit.run)
            if app.settings.audit_days is not None:
                tasks.start_soon(app.audit.keep, timedelta(days=app.settings.audit_days))
            if app.settings.history_days is not None:
                tasks.start_soon(app.memory_changes.keep_history, timedelta(days=app.settings.history_days))
            try:
                yield app
            except MemosError as error:  # raised below: the task group would wrap it
                failure = error
            tasks.cancel_scope.cancel()
    except* MemosError as group:  # what cannot be waited for, such as a database of another version
        failure = next(error for error in group.exceptions if isinstance(error, MemosError))
    finally:
        with anyio.move_on_after(CLOSING_SECONDS, shield=True):
            await app.audit.flush()
        with anyio.move_on_after(REMOVING_SECONDS, shield=True), suppress(MemosError):
            await app.engines.remove()
        await app.close()
    if failure is not None:
        raise failure


async def _index(app: App, begin: anyio.Event | None) -> None:
    if begin is not None:
        await begin.wait()
    await app.indexer.run()


async def _warm(database: Database) -> None:
    """Connect before the first call does. While Postgres is away, each call raises its own error."""
    with suppress(Unavailable):
        async with database.everything.lookup() as connection:
            await connection.execute("SELECT")
        await database.server_version()


def _access(database: Database) -> tuple[AccessTokens, TokenAuthenticator]:
    tokens = PostgresAccessTokens(database)
    return AccessTokens(tokens, _now), TokenAuthenticator(tokens, _now)


def _now() -> datetime:
    return datetime.now(UTC)
