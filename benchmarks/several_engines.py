"""Stores memories through one engine, then through two alternately that share a database and an index.

Whichever engine is faster indexes a memory; its store returns then, or after `MEMOS_INDEX_WAIT_SECONDS` at the latest.
The engines run in this process, and the index is qdrant-client's local one, which both use as if it were a server.
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from figures import percentile, row, timed, verdict
from qdrant_client import AsyncQdrantClient
from sample_memories import memory

from memos_mcp.app import App, compose, running
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.settings import Settings

SCOPE = Scope("default", "default")
MAX_RATIO = 2.0
WARM_UP = 10


async def measure(engines: int, memories: int) -> tuple[list[float], int]:
    """Return the milliseconds of each store, and how many of them waited for the longest time."""
    milliseconds: list[float] = []
    async with started(engines) as apps:
        for number in range(-WARM_UP, memories):
            app = apps[number % engines]
            with timed(milliseconds):
                await app.memories.store(SCOPE, NewMemory(memory(WARM_UP + number)))
        longest = apps[0].settings.index_wait_seconds * 1000
    del milliseconds[:WARM_UP]
    return milliseconds, sum(one >= longest for one in milliseconds)


@asynccontextmanager
async def started(count: int) -> AsyncIterator[list[App]]:
    """Start so many engines on a new database and a new index, and wait until they serve."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memos-bench-", ignore_cleanup_errors=True)))
        server = EmbeddedPostgres(home / "postgres")
        stack.push_async_callback(server.stop)
        url, client = await server.start(), AsyncQdrantClient(":memory:")
        apps = []
        for _ in range(count):
            settings = Settings(home=home)
            embedder = FastEmbedder(settings.embedding_model, settings.home, settings.embedding_threads)
            index = ServerIndex("", None, settings.qdrant_prefix, client)
            apps.append(await stack.enter_async_context(running(compose(settings, Database(url), index, embedder))))
        for app in apps:
            await app.indexer.wait_until_opened()
            await app.indexer.wait_until_idle()
        yield apps


async def compare(memories: int) -> None:
    """Measure and print both."""
    alone, _ = await measure(1, memories)
    began = time.perf_counter()
    together, waited = await measure(2, memories)
    print(f"{memories} memories through two engines: {time.perf_counter() - began:.1f} s, with their start")
    print(row("a store, one engine", alone))
    print(row("a store, two engines alternately", together))
    ratio = percentile(together, 0.95) / percentile(alone, 0.95)
    print(f"p95 is {ratio:.2f} times that of one engine; stores that waited for the longest time: {waited}")
    print(
        verdict(
            f"p95 at most {MAX_RATIO} times, no store waits for the longest time", met=ratio <= MAX_RATIO and not waited
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=400)
    warnings.filterwarnings("ignore", message="Payload indexes have no effect")
    anyio.run(compare, parser.parse_args().memories)


if __name__ == "__main__":
    main()
