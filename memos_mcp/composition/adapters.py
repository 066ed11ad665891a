"""Chooses the adapters that the settings name. Nothing is connected before it is needed."""

from memos_mcp.domain.index import VectorIndex
from memos_mcp.domain.telemetry import Telemetry
from memos_mcp.embedding.reranker import FastReranker
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.measured_database import MeasuredDatabase
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import ServerOptions
from memos_mcp.retrieval.rerank import Reranker
from memos_mcp.settings import Settings


def database_of(settings: Settings, telemetry: Telemetry) -> Database:
    """Return the database that the settings name: the bundled one without an address."""
    if settings.database_url is None:
        return MeasuredDatabase(embedded_postgres(settings), telemetry, pool_size=settings.database_pool)
    direct = settings.database_direct_url
    return MeasuredDatabase(
        settings.database_url.get_secret_value(),
        telemetry,
        pool_size=settings.database_pool,
        prepared_statements=settings.database_prepared_statements,
        direct_url=direct.get_secret_value() if direct is not None else None,
        callers_role=settings.database_role,
    )


def embedded_postgres(settings: Settings) -> EmbeddedPostgres:
    """Return the bundled server of the data folder."""
    return EmbeddedPostgres(settings.postgres_folder, old_programs=settings.old_postgres)


def vector_index_of(settings: Settings) -> VectorIndex:
    """Return the index on a Qdrant server if the settings name one, else the embedded one."""
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


def reranker_of(settings: Settings, telemetry: Telemetry) -> Reranker | None:
    """Return the reranker, None if the settings name none."""
    if settings.reranker is None:
        return None
    return FastReranker(settings.reranker, settings.home, settings.embedding_threads, telemetry)
