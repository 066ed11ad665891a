"""Takes in a code base with `memos-as ingest` and looks at what that costs, once, again, after edits and after a kill.

The chunks of the whole folder are embedded while they are stored. Their rate, from launch to the last one indexed,
stands beside that of the bare embedder on some of the same passages: every so often the run is stopped (SIGSTOP) for
a turn of the bare embedder, so that both meet the same machine, whatever else it does. Then the same again; with one
function changed; with one file deleted; both beside a running engine, which is asked for them. At last a part of the
folder is taken in on a new home, killed, and taken in again.

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
from memos_mcp.ingest.reading import read
from memos_mcp.ingest.walk import FoundFile, walk
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.settings import DEFAULT_MODEL

PACKAGE = Path(__file__).parents[1] / "memos_mcp"
TURN = 128
TURN_EVERY_SECONDS = 15.0
PART_CHUNKS = 400
SHARE = 0.85
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
    """A run of the command: how long it took, and the figures of its summary by name."""

    seconds: float
    figures: dict[str, int]
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=PACKAGE, help="a code base (this package's own)")
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        code = Path(folder) / arguments.folder.resolve().name
        shutil.copytree(arguments.folder, code, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        every = cut(walk(code))
        whole(Path(folder) / "home", code, every, random.Random(arguments.seed))
        part(Path(folder) / "other-home", Path(folder) / "part", code, every)


def whole(home: Path, code: Path, every: Sequence[Chunk], chance: random.Random) -> None:
    """Take in everything, then nothing new, then an edit, then a deletion."""
    passages = anyio.run(cut_for_model, home, [chunk.content for chunk in every])
    first, bare = anyio.run(in_turns, home, code, sorted(passages), chance)
    count, rate = first.figures["chunks created"], len(passages) / first.seconds
    ratio = rate / bare
    print(first.said)
    print(f"{first.figures['new']:,} files, {count:,} chunks, {len(passages):,} passages in {first.seconds:.1f} s:")
    print(f"{count / first.seconds:.1f} chunks/s, {rate:.1f} passages/s from launch to the last one indexed")
    print(f"the bare embedder meanwhile: {bare:.1f} passages/s")
    print(verdict(f"{ratio:.0%} of the bare embedder's rate, at least {SHARE:.0%}", met=ratio >= SHARE))

    rows = anyio.run(ask, home, WRITES)
    again = ingest(home, code)
    written = anyio.run(ask, home, WRITES) - rows
    print(f"again: {again.said}")
    met = again.seconds <= AGAIN_SECONDS and not written
    print(verdict(f"again in {again.seconds:.2f} s, at most {AGAIN_SECONDS:g} s, {written} rows written", met=met))

    with connected(home) as client:
        change_one(home, code, client, every)
        delete_one(home, code, client, every)


def change_one(home: Path, code: Path, client: LineClient, every: Sequence[Chunk]) -> None:
    """Add a comment to the last line of one function in a file of many chunks."""
    chunk = next(one for one in every if one.symbol and one.language == "python" and len(of_file(one.path, every)) > 4)
    file = code / chunk.path
    lines = file.read_text(encoding="utf-8").split("\n")
    lines[chunk.last_line - 1] += f"  # {MARK}"
    file.write_text("\n".join(lines), encoding="utf-8")
    changed = ingest(home, code)
    print(f"one function of {chunk.path} changed: {changed.said} ({changed.seconds:.1f} s)")
    figures = changed.figures
    found = until(partial(first_path, client, MARK, chunk.path))
    only = (figures["changed"], figures["chunks created"], figures["chunks removed"], figures["new"]) == (1, 1, 1, 0)
    print(verdict("only the changed chunk is written, and it is found", met=only and found))


def delete_one(home: Path, code: Path, client: LineClient, every: Sequence[Chunk]) -> None:
    """Delete the file of the last chunk, and look for it in its own words."""
    chunk = every[-1]
    there = until(partial(first_path, client, chunk.content[:2_000], chunk.path))
    (code / chunk.path).unlink()
    deleted = ingest(home, code)
    print(f"{chunk.path} deleted: {deleted.said} ({deleted.seconds:.1f} s)")
    answer = client.call("query_memory", query=chunk.content[:2_000], limit=100)
    gone = chunk.path not in [hit["metadata"].get("path") for hit in answer["memories"]]
    listed = client.call("query_memory", metadata={"path": chunk.path})["total"]
    print(verdict("a deleted file was in the answers and is gone", met=there and gone and listed == 0))


def part(home: Path, folder: Path, code: Path, every: Sequence[Chunk]) -> None:
    """Kill a run in the middle of its indexing, and another in the middle of its storing; then let one end."""
    chosen: list[Chunk] = []
    for path in dict.fromkeys(chunk.path for chunk in every):
        if len(chosen) < PART_CHUNKS:
            chosen += of_file(path, every)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if (code / path).exists():
                shutil.copy(code / path, folder / path)
    chosen = cut(walk(folder))
    contents = {chunk.content for chunk in chosen}
    passages = anyio.run(cut_for_model, home, contents)
    kill(home, folder, rb"looked at: +[1-9]")
    kill(home, folder, rb"indexed: +[1-9]\d%")
    kept = anyio.run(ask, home, COMPUTED)
    last = ingest(home, folder)
    computed = anyio.run(ask, home, COMPUTED)
    stored = {row["content"] for row in anyio.run(rows_of, home, CONTENTS)}
    print(f"killed twice, with {kept} of {len(passages)} vectors kept, then: {last.said}")
    met = stored == contents and computed == len(passages) and 0 < kept < computed
    print(verdict(f"complete, {computed} vectors kept for {len(passages)} passages: none twice", met=met))


def kill(home: Path, folder: Path, when: bytes) -> None:
    """Start a run and kill it as soon as its progress shows this."""
    command = [*OURS, "ingest", str(folder)]
    with subprocess.Popen(
        command, env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, bufsize=0
    ) as run:
        assert run.stderr is not None
        seen = b""
        while not re.search(when, seen) and (said := run.stderr.read(256)):
            seen += said
        run.send_signal(signal.SIGKILL)


def ingest(home: Path, folder: Path) -> Run:
    """Run the command to its end; its progress goes to our stderr."""
    began = time.perf_counter()
    with started(home, folder) as run:
        said, _ = run.communicate()
    assert run.returncode == 0
    return summary(time.perf_counter() - began, said)


def started(home: Path, folder: Path) -> "subprocess.Popen[str]":
    command = [*OURS, "ingest", str(folder)]
    return subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, text=True)


def summary(seconds: float, said: str) -> Run:
    """Read the figures of the first line: those of the files by name, those of the chunks as `chunks created`."""
    line = said.splitlines()[0]
    files, _, parts = line.partition("; chunks: ")
    found = [(name, count) for count, name in re.findall(r"(\d[\d,]*) (\w+)", files)]
    found += [(f"chunks {name}", count) for count, name in re.findall(r"(\d[\d,]*) (\w+)", parts)]
    return Run(seconds, {name: int(count.replace(",", "")) for name, count in found}, line)


async def in_turns(home: Path, folder: Path, passages: Sequence[str], chance: random.Random) -> tuple[Run, float]:
    """Run the command, stopped for turns of the bare embedder; return the run without them, and the bare rate."""
    embedder = FastEmbedder(DEFAULT_MODEL, home)
    await embedder.passages(passages[:8])
    turns: list[float] = []
    size = min(TURN, len(passages))
    began = time.perf_counter()
    with started(home, folder) as run:
        while await going_on(run):
            run.send_signal(signal.SIGSTOP)
            milliseconds: list[float] = []
            with timed(milliseconds):
                await embedder.passages(chance.sample(passages, size))
            run.send_signal(signal.SIGCONT)
            turns.append(milliseconds[0] / 1000)
        seconds = time.perf_counter() - began - sum(turns)
        said, _ = run.communicate()
    assert run.returncode == 0
    return summary(seconds, said), size * len(turns) / sum(turns)


async def going_on(run: "subprocess.Popen[str]") -> bool:
    """Return, after a while or at its end, whether the run goes on."""
    with anyio.move_on_after(TURN_EVERY_SECONDS):
        while run.poll() is None:  # noqa: ASYNC110 - another process gives no event
            await anyio.sleep(0.02)
        return False
    return True


def cut(found: Iterable[FoundFile | Skipped]) -> list[Chunk]:
    """Return the chunks that the command must make of these files."""
    documents = [read(one) for one in found if isinstance(one, FoundFile)]
    return [chunk for document in documents if not isinstance(document, Skipped) for chunk in chunks(document)]


def of_file(path: str, every: Sequence[Chunk]) -> list[Chunk]:
    return [chunk for chunk in every if chunk.path == path]


async def cut_for_model(home: Path, contents: Iterable[str]) -> set[str]:
    """Return the different passages that the model is to see: what does not fit its window is several."""
    texts = list(dict.fromkeys(contents))
    spans = await FastEmbedder(DEFAULT_MODEL, home).split(texts)
    return {text[span.start : span.end] for text, places in zip(texts, spans, strict=True) for span in places}


async def ask(home: Path, query: str) -> int:
    (row,) = await rows_of(home, query)
    return int(next(iter(row.values())))


async def rows_of(home: Path, query: str) -> list[Any]:
    """Ask the home's own Postgres, which runs for as long as somebody uses it."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.connection() as connection:
            return await connection.fetch(query)
    finally:
        await database.close()


def first_path(client: LineClient, text: str, path: str) -> bool:
    answer = client.call("query_memory", query=text, limit=1)
    return [hit["metadata"].get("path") for hit in answer["memories"]] == [path]


def until(holds: Callable[[], bool]) -> bool:
    """Ask until it holds: the engine may have to catch up."""
    deadline = time.monotonic() + FOUND_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


if __name__ == "__main__":
    main()
