"""Imports real texts and asks real questions over stdio; prints rates and times beside the bare embedder's.

    python benchmarks/query_latency.py --data FOLDER

FOLDER holds `locomo*/docs.jsonl` (turns) and `longmemeval*/docs.jsonl.gz` (sessions of turns), each beside its
`queries.jsonl`. Turns (of the longer sessions, the user's) become lines for `memos-as import`, with session and time
where the set has them. The client speaks raw lines (`line_client.py`). Each question is embedded once by the product's
embedder in this process, uncached, then a `ping` is answered, then `tools/list`, then the question: what the server
adds is what is above the sum of the first two.
"""

import argparse
import gzip
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import anyio
from figures import percentile, row, timed
from line_client import LineClient, connected, environment

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.settings import DEFAULT_MODEL

WARM_UP = 20
SAMPLE = 400
GOAL = 1.5


@dataclass(frozen=True, slots=True)
class Imported:
    """What the import took, in seconds, and how many passages came of it."""

    memories: int
    passages: int
    stored_after: float
    indexed_after: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of the sets")
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--home", type=Path, help="keep the imported memories here and use them again")
    arguments = parser.parse_args()
    if arguments.data is None:
        print("query_latency.py: skipped, because --data names no folder with LoCoMo and LongMemEval")
        return
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        home = arguments.home or Path(folder)
        memories = list(islice(chain(locomo(arguments.data), longmemeval(arguments.data)), arguments.memories))
        imported = import_all(home, memories, Path(folder) / "memories.jsonl")
        asked = questions(arguments.data, WARM_UP + arguments.questions)
        with connected(home) as client:
            anyio.run(measure, client, home, memories, imported, asked)


async def measure(
    client: LineClient, home: Path, memories: list[dict[str, Any]], imported: Imported, asked: list[str]
) -> None:
    for question in asked[:WARM_UP]:
        client.call("query_memory", query=question)
    embedder = FastEmbedder(DEFAULT_MODEL, home / "models")
    await report_rates(embedder, memories, imported)
    bare, ping, listing, queries = list[float](), list[float](), list[float](), list[float]()
    degraded = 0
    for question in asked[WARM_UP:]:
        with timed(bare):
            await embedder.query(question)
        with timed(ping):
            client.request("ping")
        with timed(listing):
            client.request("tools/list")
        with timed(queries):
            answer = client.call("query_memory", query=question)
        degraded += answer["degraded"] is not None
    print(f"{len(queries)} questions over stdio, one at a time, {degraded} answered as degraded")
    print(row("bare embedding of the question", bare))
    print(row("ping", ping))
    print(row("tools/list", listing))
    print(row("query_memory", queries))
    ratio = percentile(queries, 0.5) / (percentile(bare, 0.5) + percentile(ping, 0.5))
    print(f"query_memory is {ratio:.2f} times the bare embedding and a ping, at p50; the goal is <= {GOAL}")


async def report_rates(embedder: FastEmbedder, memories: list[dict[str, Any]], imported: Imported) -> None:
    """Print how fast the import was beside the embedder alone, on a sample of the same passages."""
    sample = [memory["content"] for memory in random.Random(8).sample(memories, min(SAMPLE, len(memories)))]
    spans = await embedder.split(sample)
    passages = [text[start:end] for text, parts in zip(sample, spans, strict=True) for start, end in parts]
    taken: list[float] = []
    with timed(taken):
        await embedder.passages(passages)
    bare_rate = len(passages) / taken[0] * 1000
    if not imported.indexed_after:
        print(f"{imported.memories:,} memories were there already")
        return
    rate = imported.passages / imported.indexed_after
    print(f"{imported.memories:,} memories imported, {imported.passages:,} passages")
    print(f"stored after {imported.stored_after:.0f} s: {imported.memories / imported.stored_after:,.0f} memories/s")
    print(f"indexed after {imported.indexed_after:.0f} s: {rate:,.1f} passages/s, from the launch of the command")
    print(
        f"the bare embedder, on {len(passages):,} of them: {bare_rate:,.1f} passages/s; {rate / bare_rate:.2f} of that"
    )


def import_all(home: Path, memories: list[dict[str, Any]], file: Path) -> Imported:
    """Run the import command; note when it said that all is stored, and when it had indexed everything."""
    with file.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(memory, ensure_ascii=False) + "\n" for memory in memories)
    before = doctor(home)
    began = time.perf_counter()
    command = [sys.executable, "-m", "memos_mcp", "import", str(file)]
    settings = {**environment(home), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        outcome = process.stdout.readline().strip()
        stored_after = time.perf_counter() - began
    indexed_after = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"the import failed: {outcome}")
    print(outcome)
    after = doctor(home)
    if before["computed"] == after["computed"]:
        return Imported(after["rows"]["memory"], 0, 0, 0)
    return Imported(after["rows"]["memory"], after["index"]["points"]["memory"], stored_after, indexed_after)


def doctor(home: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "memos_mcp", "doctor", "--json"]
    printed = subprocess.run(command, env=environment(home), stdout=subprocess.PIPE, check=False).stdout
    findings: dict[str, Any] = json.loads(printed)
    return findings


def locomo(data: Path) -> Iterator[dict[str, Any]]:
    """Yield the turns of LoCoMo's conversations."""
    for path in sorted(data.glob("locomo*/docs.jsonl")):
        for turn in rows(path):
            session = f"{turn['meta']['namespace']}/{turn['meta']['session']}"
            yield {"content": turn["text"], "session_id": session, "occurred_at": f"{turn['timestamp']}Z"}


def longmemeval(data: Path) -> Iterator[dict[str, Any]]:
    """Yield what the users said in LongMemEval; a session's time is that of the first question that may search it."""
    for path in sorted(data.glob("longmemeval*/docs.jsonl.gz")):
        times: dict[str, str] = {}
        for question in rows(path.with_name("queries.jsonl")):
            for session, moment in question["haystack"]:
                times.setdefault(session, moment)
        for session in rows(path):
            name = session["doc_id"]
            when = {"occurred_at": f"{times[name]}Z"} if name in times else {}
            for role, text in session["turns"]:
                if role == "user" and text.strip():
                    yield {"content": text, "session_id": name, **when}


def questions(data: Path, count: int) -> list[str]:
    """Return distinct questions of the sets, in an order that is mixed but the same each time."""
    found = (row["query"] for path in sorted(data.glob("*/queries.jsonl")) for row in rows(path))
    distinct = sorted(set(found))
    random.Random(8).shuffle(distinct)
    return distinct[:count]


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


if __name__ == "__main__":
    main()
