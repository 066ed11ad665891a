"""The composition root: puts the parts together, and owns their lifetime and the clock."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from os import getpid
from socket import gethostname
from typing import TYPE_CHECKING, Any, Final

import anyio

from memos_mcp import __version__
from memos_mcp.domain.engines import EngineRegistry
from memos_mcp.domain.erasures import ErasureStore
from memos_mcp.domain.errors import MemosError, Unavailable
from memos_mcp.domain.index import Embedder, ItemKind, VectorIndex
from memos_mcp.domain.index_log import IndexLog
from memos_mcp.domain.index_queue import IndexQueue
from memos_mcp.domain.tool import ToolStore
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.embedding.reranker import FastReranker
from memos_mcp.ingest.loadout_files import LoadoutFiles
from memos_mcp.postgres.access_tokens import PostgresAccessTokens
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.embeddings import PostgresEmbeddings
from memos_mcp.postgres.engines import PostgresEngines
from memos_mcp.postgres.erasures import PostgresErasures
from memos_mcp.postgres.experience import PostgresExperience
from memos_mcp.postgres.index_log import PostgresIndexLog
from memos_mcp.postgres.index_queue import PostgresIndexQueue
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.memory_changes import PostgresMemoryChanges
from memos_mcp.postgres.row_states import PostgresMemoryRows, PostgresTaskRows, PostgresToolRows
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.postgres.tools import PostgresTools
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import ServerOptions
from memos_mcp.retrieval.context import REACH
from memos_mcp.retrieval.rerank import Reranker
from memos_mcp.services.access_tokens import AccessTokens
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
from memos_mcp.services.search import Search
from memos_mcp.services.task_projection import TaskProjection
from memos_mcp.services.token_authenticator import TokenAuthenticator
from memos_mcp.services.tool_calls import ToolCalls
from memos_mcp.services.tool_sources import ToolSources
from memos_mcp.services.tools import Tools
from memos_mcp.settings import Settings

if TYPE_CHECKING:  # it imports the client of the SDK, which takes long, and only those who call tools need it
    from memos_mcp.tool_calling.tool_setup import ToolSetup

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


def open_app(settings: Settings) -> AbstractAsyncContextManager[App]:
    """Return a context with an app whose parts start in the background; it is closed at the end."""
    return running(assemble(settings))


def assemble(settings: Settings) -> App:
    """Choose the parts that the settings name, without connecting to anything."""

    def embedder_for(model: str) -> Embedder:
        return FastEmbedder(model, settings.home, settings.embedding_threads)

    embedder = embedder_for(settings.embedding_model)
    return compose(settings, _database(settings), _index(settings), embedder, _reranker(settings), embedder_for)


def compose(
    settings: Settings,
    database: Database,
    index: VectorIndex,
    embedder: Embedder,
    reranker: Reranker | None = None,
    embedder_for: EmbedderFactory | None = None,
) -> App:
    """Put the parts together. `embedder_for` embeds questions for an index that was built for another model."""
    memories, tools, outcomes = PostgresMemories(database), PostgresTools(database), PostgresExperience(database)
    queue, log, embeddings = PostgresIndexQueue(database), PostgresIndexLog(database), PostgresEmbeddings(database)
    engines = PostgresEngines(database, f"{gethostname()} {getpid()}", __version__, _now())
    projections: Mapping[ItemKind, Projection[Any]] = {
        "memory": MemoryProjection(memories, PostgresMemoryRows(database, REACH)),
        "tool": ToolProjection(tools, PostgresToolRows(database)),
        "task": TaskProjection(outcomes, PostgresTaskRows(database)),
    }
    projector = Projector(embedder, embeddings, projections, shared=not index.exclusive)
    indexer = Indexer(index, queue, log, engines, projector)
    search, erasures = Search(index, embedder, indexer, reranker, embedder_for), PostgresErasures(database)
    near_duplicates = NearDuplicates(memories, index, embeddings, embedder.model)
    memory_service = Memories(memories, search, near_duplicates, indexer, _now, settings.index_wait_seconds)
    changes = MemoryChanges(PostgresMemoryChanges(database), projector, indexer, _now, settings.index_wait_seconds)
    experience = Experience(
        outcomes, search, projector, indexer, _now, settings.index_wait_seconds, enabled=settings.experience
    )
    tool_service = Tools(tools, search, experience, indexer, _now, settings.index_wait_seconds)
    sources = ToolSources(tools, _now)
    tool_calls, servers = _tool_calls(settings, tools, sources, experience) if settings.calls_tools else (None, None)
    return App(
        settings,
        memory_service,
        changes,
        tool_service,
        tool_calls,
        servers,
        sources,
        experience,
        Ingestion(PostgresSources(database), _now),
        Ingestion(PostgresSources(database, history=True), _now),
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
    )


@asynccontextmanager
async def running(app: App) -> AsyncIterator[App]:
    """Connect and index in the background while the context is open."""
    failure: MemosError | None = None
    try:
        async with anyio.create_task_group() as tasks, app.tool_servers or nullcontext():
            tasks.start_soon(_warm, app.database)
            tasks.start_soon(app.indexer.run)
            tasks.start_soon(app.token_authenticator.record_uses)
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
        with anyio.move_on_after(REMOVING_SECONDS, shield=True), suppress(MemosError):
            await app.engines.remove()
        await app.close()
    if failure is not None:
        raise failure


async def _warm(database: Database) -> None:
    """Connect before the first call does. While Postgres is away, each call raises its own error."""
    with suppress(Unavailable):
        async with database.everything.lookup() as connection:
            await connection.execute("SELECT")
        await database.server_version()


def _database(settings: Settings) -> Database:
    if settings.database_url is None:
        return Database(embedded_postgres(settings), pool_size=settings.database_pool)
    direct = settings.database_direct_url
    return Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.database_pool,
        prepared_statements=settings.database_prepared_statements,
        direct_url=direct.get_secret_value() if direct is not None else None,
        callers_role=settings.database_role,
    )


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """Return the bundled server of the data folder."""
    return EmbeddedPostgres(settings.home / "postgres", old_programs=settings.old_postgres)


def _index(settings: Settings) -> VectorIndex:
    if settings.qdrant_url is not None:
        key = settings.qdrant_api_key.get_secret_value() if settings.qdrant_api_key is not None else None
        options = ServerOptions(
            settings.qdrant_shards,
            settings.qdrant_replicas,
            settings.qdrant_write_consistency,
            settings.qdrant_quantization,
            settings.qdrant_on_disk,
            settings.qdrant_timeout,
        )
        return ServerIndex(settings.qdrant_url, key, settings.qdrant_prefix, options=options)
    return EdgeIndex(settings.home / "index", settings.hnsw_threshold)


def _reranker(settings: Settings) -> Reranker | None:
    if settings.reranker is None:
        return None
    return FastReranker(settings.reranker, settings.home, settings.embedding_threads)


def tool_setup(settings: Settings) -> "ToolSetup":
    """Return what the operator has set up for calls of tools."""
    from memos_mcp.tool_calling.tool_setup import ToolSetup

    return ToolSetup(
        settings.home,
        settings.tool_hosts,
        settings.tool_private_hosts,
        settings.secret,
        settings.environment(),
        settings.tool_seconds,
    )


def _tool_calls(
    settings: Settings, tools: ToolStore, sources: ToolSources, experience: Experience
) -> tuple[ToolCalls, AbstractAsyncContextManager[object]]:
    """Return what calls tools, and the MCP servers among them. When one's tools change, the record follows."""

    async def follow(server: str) -> None:
        await sources.sync_everywhere(servers, server)

    setup = tool_setup(settings)
    servers = setup.server_caller(on_list_changed=follow)
    return ToolCalls(tools, setup.caller(servers), experience), servers


def _access(database: Database) -> tuple[AccessTokens, TokenAuthenticator]:
    tokens = PostgresAccessTokens(database)
    return AccessTokens(tokens, _now), TokenAuthenticator(tokens, _now)


def _now() -> datetime:
    return datetime.now(UTC)
