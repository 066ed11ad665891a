"""Measures `memos-as ingest` on a code base: the first run, a second one, runs after edits, and runs that are killed.

The chunks of the whole folder are embedded while they are stored. Their rate, from launch to the last one indexed, is
printed beside that of the bare embedder on some of the same passages. The run is paused (SIGSTOP) at intervals for a
round of the bare embedder, so that both run on the same machine under the same load. Then the unchanged folder is
ingested again; once more with one function changed; and with one file deleted. A running engine is queried after both
edits. At last a part of the folder is ingested into a new home, killed twice, and ingested to the end.

    python benchmarks/ingest.py build/django/django
"""

import argparse
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from figures import timed, verdict
from line_client import OURS, LineClient, connected, environment

from memos_mcp.domain.chunk import Chunk
from memos_mcp.domain.source import Skipped
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.walk import FoundFile, walk
from memos_mcp.ingest.reading import read
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.settings import DEFAULT_MODEL

PACKAGE = Path(__file__).parents[1] / "memos_mcp"
ROUND_PASSAGES = 128
ROUND_EVERY_SECONDS = 15.0
PART_CHUNKS = 400
SHARE = 0.95
AGAIN_SECONDS = 5.0
FOUND_SECONDS = 60.0
MARK = "zanzibar quokka ombudsman"

WRITES = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
      FROM pg_stat_user_tables
     WHERE relname IN ('agent_memories', 'ingested_files', 'embeddings', 'index_queue')
"""
CONTENTS = "SELECT content FROM agent_memories"
COMPUTED = "SELECT coalesce(sum(computed), 0)::bigint FROM embedding_counts"


@dataclass(frozen=True, slots=True)
class Run:
    """A run of the command: how long it took, its summary, the figures in it by name, and what it printed below."""

    seconds: float
    figures: dict[str, int]
    summary: str
    further: Sequence[str] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PACKAGE, help="a code base (this package's own)")
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        code = Path(folder) / arguments.folder.resolve().name
        shutil.copytree(arguments.folder, code, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        all_chunks = cut(walk(code))
        whole(Path(folder) / "home", code, all_chunks, random.Random(arguments.seed))
        part(Path(folder) / "other-home", Path(folder) / "part", code, all_chunks)


def whole(home: Path, code: Path, all_chunks: Sequence[Chunk], chance: random.Random) -> None:
    """Ingest everything, then the unchanged folder, then an edit, then a deletion."""
    passages = anyio.run(cut_for_model, home, [chunk.content for chunk in all_chunks])
    first, bare = anyio.run(in_rounds, home, code, sorted(passages), chance)
    count, rate = first.figures["chunks created"], len(passages) / first.seconds
    ratio = rate / bare
    print(first.summary)
    print(f"{first.figures['new']:,} files, {count:,} chunks, {len(passages):,} passages in {first.seconds:.1f} s:")
    print(f"{count / first.seconds:.1f} chunks/s, {rate:.1f} passages/s from launch to the last one indexed")
    print(f"the bare embedder meanwhile: {bare:.1f} passages/s")
    print(verdict(f"{ratio:.0%} of the bare embedder's rate, at least {SHARE:.0%}", met=ratio >= SHARE))

    rows = anyio.run(ask, home, WRITES)
    again = ingest(home, code)
    written = anyio.run(ask, home, WRITES) - rows
    print(f"again: {again.summary}")
    met = again.seconds <= AGAIN_SECONDS and not written
    print(verdict(f"again in {again.seconds:.2f} s, at most {AGAIN_SECONDS:g} s, {written} rows written", met=met))

    with connected(home) as client:
        change_one(home, code, client, all_chunks)
        delete_one(home, code, client, all_chunks)


def change_one(home: Path, code: Path, client: LineClient, all_chunks: Sequence[Chunk]) -> None:
    """Add a comment to the last line of one function in a file of many chunks."""
    chunk = next(c for c in all_chunks if c.symbol and c.language == "python" and len(of_file(c.path, all_chunks)) > 4)
    file = code / chunk.path
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[chunk.last_line - 1] += f"  # {MARK}"
    file.write_text("\n".join(lines), encoding="utf-8")
    changed = ingest(home, code)
    print(f"one function of {chunk.path} changed: {changed.summary} ({changed.seconds:.1f} s)")
    figures = changed.figures
    found = until(partial(first_path, client, MARK, chunk.path))
    only = (figures["changed"], figures["chunks created"], figures["chunks removed"], figures["new"]) == (1, 1, 1, 0)
    print(verdict("only the changed chunk is written, and it is found", met=only and found))


def delete_one(home: Path, code: Path, client: LineClient, all_chunks: Sequence[Chunk]) -> None:
    """Delete the file of the last chunk, and search for its content."""
    chunk = all_chunks[-1]
    there = until(partial(first_path, client, chunk.content[:2_000], chunk.path))
    (code / chunk.path).unlink()
    deleted = ingest(home, code)
    print(f"{chunk.path} deleted: {deleted.summary} ({deleted.seconds:.1f} s)")
    answer = client.call("query_memory", query=chunk.content[:2_000], limit=100)
    missing = chunk.path not in [hit["metadata"].get("path") for hit in answer["memories"]]
    listed = client.call("query_memory", metadata={"path": chunk.path})["total"]
    print(verdict("a deleted file was in the answers and no longer is", met=there and missing and listed == 0))


def part(home: Path, folder: Path, code: Path, all_chunks: Sequence[Chunk]) -> None:
    """Kill one run while it stores and another while it indexes; then let one finish."""
    chosen: list[Chunk] = []
    for path in dict.fromkeys(chunk.path for chunk in all_chunks):
        if len(chosen) < PART_CHUNKS:
            chosen += of_file(path, all_chunks)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if (code / path).exists():
                shutil.copy(code / path, folder / path)
    chosen = cut(walk(folder))
    contents = {chunk.content for chunk in chosen}
    passages = anyio.run(cut_for_model, home, contents)
    kill(home, folder, rb"[1-9]\d*/\d+ \[")
    kill(home, folder, rb"indexed: +[1-9]\d%")
    kept = anyio.run(ask, home, COMPUTED)
    last = ingest(home, folder)
    computed = anyio.run(ask, home, COMPUTED)
    stored = {row["content"] for row in anyio.run(rows_of, home, CONTENTS)}
    print(f"killed twice, with {kept} of {len(passages)} vectors kept, then: {last.summary}")
    met = stored == contents and computed == len(passages) and 0 < kept < computed
    print(verdict(f"complete, {computed} vectors kept for {len(passages)} passages: none twice", met=met))


def kill(home: Path, folder: Path, when: bytes) -> None:
    """Start a run and kill it as soon as its progress matches this."""
    command = [*OURS, "ingest", str(folder)]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    ) as run:
        assert run.stderr is not None
        progress = b""
        while not re.search(when, progress) and (part := run.stderr.read(256)):
            progress += part
        run.send_signal(signal.SIGKILL)


def ingest(home: Path, folder: Path) -> Run:
    """Run the command to its end; its progress is shown on our stderr."""
    began = time.perf_counter()
    with started(home, folder) as run:
        output, _ = run.communicate()
    assert run.returncode == 0
    return parse_summary(time.perf_counter() - began, output)


def started(home: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [*OURS, "ingest", str(folder)]
    return subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True)


def parse_summary(seconds: float, output: str) -> Run:
    """Read the figures of the first line: files by outcome (`new`), chunks with a prefix (`chunks created`)."""
    line, *further = output.splitlines()
    files, _, parts = line.partition("; chunks: ")
    found = [(name, count) for count, name in re.findall(r"(\d[\d,]*) (\w+)", files)]
    found += [(f"chunks {name}", count) for count, name in re.findall(r"(\d[\d,]*) (\w+)", parts)]
    return Run(seconds, {name: int(count.replace(",", "")) for name, count in found}, line, further)


async def in_rounds(home: Path, folder: Path, passages: Sequence[str], chance: random.Random) -> tuple[Run, float]:
    """Run the command, paused for rounds of the bare embedder; return the run without them, and the embedder's rate."""
    embedder = FastEmbedder(DEFAULT_MODEL, home)
    await embedder.passages(passages[:8])
    rounds: list[float] = []
    size = min(ROUND_PASSAGES, len(passages))
    began = time.perf_counter()
    with started(home, folder) as run:
        while await runs_on(run):
            run.send_signal(signal.SIGSTOP)
            milliseconds: list[float] = []
            with timed(milliseconds):
                await embedder.passages(chance.sample(passages, size))
            run.send_signal(signal.SIGCONT)
            rounds.append(milliseconds[0] / 1000)
        seconds = time.perf_counter() - began - sum(rounds)
        output, _ = run.communicate()
    assert run.returncode == 0
    return parse_summary(seconds, output), size * len(rounds) / sum(rounds)


async def runs_on(run: "subprocess.Popen[str]") -> bool:
    """Wait until the next round is due or the run ends; return whether it still runs."""
    with anyio.move_on_after(ROUND_EVERY_SECONDS):
        while run.poll() is None:  # noqa: ASYNC110 - another process gives no event
            await anyio.sleep(0.02)
        return False
    return True


def cut(found: Iterable[FoundFile | Skipped]) -> list[Chunk]:
    """Return the chunks that the command must create from these files."""
    texts = [read(file) for file in found if isinstance(file, FoundFile)]
    return [chunk for text in texts if not isinstance(text, Skipped) for chunk in chunks(text)]


def of_file(path: str, all_chunks: Sequence[Chunk]) -> list[Chunk]:
    return [chunk for chunk in all_chunks if chunk.path == path]


async def cut_for_model(home: Path, contents: Iterable[str]) -> set[str]:
    """Return the distinct passages that are embedded: a text that exceeds the model's window is several."""
    texts = list(dict.fromkeys(contents))
    spans = await FastEmbedder(DEFAULT_MODEL, home).split(texts)
    return {text[span.start : span.end] for text, parts in zip(texts, spans, strict=True) for span in parts}


async def ask(home: Path, query: str) -> int:
    (row,) = await rows_of(home, query)
    return int(next(iter(row.values())))


async def rows_of(home: Path, query: str) -> list[Any]:
    """Query the home's own Postgres, which runs as long as a process uses it."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.everything.connection() as connection:
            return await connection.fetch(query)
    finally:
        await database.close()


def first_path(client: LineClient, text: str, path: str) -> bool:
    answer = client.call("query_memory", query=text, limit=1)
    return [hit["metadata"].get("path") for hit in answer["memories"]] == [path]


def until(holds: Callable[[], bool]) -> bool:
    """Repeat the check until it holds: the engine may have to catch up."""
    deadline = time.monotonic() + FOUND_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    main()
