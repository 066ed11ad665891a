"""Homes for `round_trip.py`: one that is made, digests of all rows of a home's record, and its answers to questions."""

import json
import random
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from latency_homes import BATCH, DIMENSIONS, STORE_VECTORS
from line_client import OURS, LineClient, connected, environment
from sample_memories import memory

from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.settings import DEFAULT_MODEL

HNSW_THRESHOLD = "1000000"
"""Without a graph, which is built from a random start, an answer depends on the record alone."""

FILES = Path(__file__).parents[1] / "examples"
"""Some source code to ingest."""

REPLACED = 50
FORGOTTEN = 70
"""Every so many memories one is replaced, or forgotten."""

SCRIPTS = ("Größe", "日本語の鍵", "мост", "🚲", "tab\there", 'a "quote" \\ and \n a line')
START = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = "2020-01-01T00:00:00Z"

# All rows of the record: not the queue, not the engines, and not how many vectors this home has computed.
DIGESTS = """
    SELECT 'memories' AS name, count(*), md5(string_agg(one::text, E'\\n' ORDER BY id)) FROM agent_memories AS one
     UNION ALL
    SELECT 'forgotten', count(*), md5(string_agg(one::text, E'\\n' ORDER BY id)) FROM forgotten_memories AS one
     UNION ALL
    SELECT 'events', count(*), md5(string_agg(one::text, E'\\n' ORDER BY memory_id, sequence)) FROM memory_events AS one
     UNION ALL
    SELECT 'tools', count(*), md5(string_agg(one::text, E'\\n' ORDER BY id)) FROM registered_tools AS one
     UNION ALL
    SELECT 'files', count(*), md5(string_agg(one::text, E'\\n' ORDER BY path)) FROM ingested_files AS one
     UNION ALL
    SELECT 'vectors', count(*), md5(string_agg(one::text, E'\\n' ORDER BY model, content_hash)) FROM embeddings AS one
"""


def run(home: Path, *arguments: str | Path) -> str:
    """Run a command of the product; return what it prints."""
    done = subprocess.run(
        [*OURS, *map(str, arguments)],
        env=environment(home, hnsw_threshold=HNSW_THRESHOLD),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed: {done.stderr[-2_000:]}")
    return done.stdout.strip()


def memories(count: int) -> Iterator[dict[str, Any]]:
    """Yield lines for `import`: in sessions and without, with every optional argument, in several scripts."""
    for number in range(count):
        line: dict[str, Any] = {"content": f"{memory(number)} {SCRIPTS[number % len(SCRIPTS)]}"}
        line["occurred_at"] = (START + timedelta(minutes=number, microseconds=number)).isoformat()
        line["tags"] = [f"tag {number % 7}", SCRIPTS[number % 4]][: number % 3]
        line["metadata"] = {"number": number, "share": number / 7, "deep": {"größe": [number, None, True]}}
        line["importance"] = (number % 10) / 10
        line["kind"] = ("episodic", "semantic", "procedural")[number % 3]
        if number % 3:
            line["session_id"] = f"session {number // 12}"
        if number % 11 == 0:
            line["expires_at"] = "2099-12-31T23:59:59.999999Z"
        yield line


def tools(count: int) -> Iterator[dict[str, Any]]:
    """Yield lines for `import` of tools, some with schemas and capabilities."""
    for number in range(count):
        line = {
            "tool_id": f"office.{number}",
            "name": f"Office task {number}",
            "description": f"Does what {memory(number * 13)[:-1]} needs. {SCRIPTS[number % len(SCRIPTS)]}",
            "endpoint_url": f"https://tools.example.com/{number}",
        }
        schema = {"type": "object", "properties": {f"field_{number % 9}": {"type": "string"}}}
        yield {**line, **({"request_schema": schema, "required_capabilities": ["network"]} if number % 2 else {})}


def make(home: Path, memory_count: int, tool_count: int, folder: Path, seed: int) -> None:
    """Fill a home: import, replace and forget; the vectors of the memories are random, those of the tools computed."""
    lines = list(memories(memory_count))
    replacing = [
        {"content": f"Correction {number}: {lines[number]['content']}", "occurred_at": lines[number]["occurred_at"]}
        for number in range(0, memory_count, REPLACED)
    ]
    run(home, "migrate")
    anyio.run(store_vectors, home, [line["content"] for line in (*lines, *replacing)], seed)
    run(home, "import", "--no-wait", written(folder / "memories.jsonl", [*lines, *tools(tool_count)]))
    ids = anyio.run(ids_by_content, home)
    for number, line in zip(range(0, memory_count, REPLACED), replacing, strict=True):
        line["supersedes"] = ids[lines[number]["content"]]
    run(home, "import", "--no-wait", written(folder / "replacing.jsonl", replacing))
    run(home, "ingest", "--no-wait", FILES)
    with connected(home, hnsw_threshold=HNSW_THRESHOLD) as client:
        live = [ids[lines[number]["content"]] for number in range(1, memory_count, FORGOTTEN) if number % REPLACED]
        for start in range(0, len(live), 20):
            client.call("forget_memory", memory_ids=live[start : start + 20])
    run(home, "reindex")


def written(path: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


async def store_vectors(home: Path, texts: Sequence[str], seed: int) -> None:
    """Store random unit vectors for texts, as if they had been computed before."""
    chance, server = np.random.default_rng(seed), EmbeddedPostgres(home / "postgres")
    connection = await connect(await server.start())
    try:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            vectors = chance.standard_normal((len(part), DIMENSIONS))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            hashes = [sha256(text.encode()).digest() for text in part]
            await connection.execute(
                STORE_VECTORS, DEFAULT_MODEL, hashes, [vector.tobytes() for vector in vectors.astype("<f4")]
            )
    finally:
        await connection.close(timeout=5.0)
        await server.stop()


async def fetched(home: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query on a home's database."""
    server = EmbeddedPostgres(home / "postgres")
    connection = await connect(await server.start(), command_timeout=None)
    try:
        return [tuple(row.values()) for row in await connection.fetch(query)]
    finally:
        await connection.close(timeout=5.0)
        await server.stop()


async def ids_by_content(home: Path) -> dict[str, str]:
    return {content: str(id_) for content, id_ in await fetched(home, "SELECT content, id FROM agent_memories")}


def digests(home: Path) -> dict[str, tuple[int, str]]:
    """Return the number of rows of each table of the record, and a digest of them."""
    return {name: (count, digest) for name, count, digest in anyio.run(fetched, home, DIGESTS)}


def answers(home: Path, count: int, memory_count: int, seed: int) -> list[Any]:
    """Return the answers of a home to a sample of questions, without what depends on the time of the question."""
    run(home, "reindex")
    chance = random.Random(seed)
    with connected(home, hnsw_threshold=HNSW_THRESHOLD) as client:
        found: list[Any] = [settled(client)]
        for number in range(count):
            words = memory(chance.randrange(memory_count)).split()
            answer = complete(client, "query_memory", query=" ".join(words[: 3 + number % 4]), limit=10)
            found.append([(hit["memory_id"], hit["content"], round(hit["score"], 5)) for hit in answer["memories"]])
            if number % 5 == 0:
                answer = complete(client, "discover_tools", query=" ".join(words))
                found.append([(tool["tool_id"], round(tool["score"], 5)) for tool in answer["tools"]])
        return found


def complete(client: LineClient, tool: str, **arguments: Any) -> dict[str, Any]:
    """Ask until the whole index has answered: on a busy machine a search may give up, and the answer is by words."""
    while (answer := client.call(tool, **arguments))["degraded"] is not None:
        pass
    return answer


def settled(client: LineClient) -> int:
    """Wait until nothing is queued; return how many memories there are."""
    complete(client, "query_memory", query="Is anybody there?")
    return int(client.call("query_memory", limit=1)["total"])


def size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.1f} MB"
