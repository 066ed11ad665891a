"""Versions of the product for `latency.py`: each loads homes of its own and serves them, whatever the others do."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from line_client import LineClient, environment, opened, processes_of, stop_engine

from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.settings import DEFAULT_MODEL

ROOT = Path(__file__).parents[1]
DIMENSIONS = 384
BATCH = 5_000

QUIET_SECONDS = 6.0
QUIET_SHARE = 0.03
SETTLE_SECONDS = 1_800.0
"""A home is quiet when its processes take no more than this share of a core for so long; a new graph takes a while."""

KEEP_VECTORS = """
    INSERT INTO embeddings (model, content_hash, vector)
    SELECT $1, content_hash, vector FROM unnest($2::bytea[], $3::bytea[]) AS new (content_hash, vector)
    ON CONFLICT (model, content_hash) DO NOTHING
"""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A package of the product, and how it is launched; `variables` make it the one that is found."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]

    def run(self, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands on a home; what it says on stderr is shown."""
        return subprocess.run(
            [*self.command, *arguments],
            env={**environment(home), **self.variables},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )

    def doctor(self, home: Path) -> dict[str, Any]:
        """Return what its doctor finds."""
        findings: dict[str, Any] = json.loads(self.run(home, "doctor", "--json").stdout)
        return findings


@dataclass(frozen=True, slots=True)
class Loaded:
    """What an import took, in seconds, and how many passages came of it; no seconds when all was there already."""

    passages: int
    stored_after: float
    indexed_after: float
    computed: int


def version(name: str, place: Path) -> Version:
    """Return the version of a checkout (with its own `.venv`, or else this interpreter), or of an interpreter."""
    checkout = place.is_dir()
    own = place / ".venv" / "bin" / "python"
    python = str(own if own.exists() else sys.executable) if checkout else str(place)
    # Without the safe path, the folder that this program runs in would come first.
    variables = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(place.resolve()) if checkout else ""}
    found = subprocess.run(
        [python, "-c", "import memos_mcp; print(memos_mcp.__file__)"],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    if checkout and not Path(found).is_relative_to(place.resolve()):
        raise SystemExit(f"{place} would run {found}")
    return Version(name, (python, "-m", "memos_mcp"), variables)


def load(version: Version, home: Path, lines: Sequence[Mapping[str, Any]]) -> Loaded:
    """Import these memories; note when the command said that all is stored, and when all was indexed."""
    before = version.doctor(home)["computed"]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        file.flush()
        settings = {**environment(home), **version.variables, "PYTHONUNBUFFERED": "1"}
        began = time.perf_counter()
        command = [*version.command, "import", file.name]
        with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            outcome = run.stdout.readline().strip()
            stored_after = time.perf_counter() - began
        indexed_after = time.perf_counter() - began
    if run.returncode != 0:
        raise SystemExit(f"the import of {version.name} failed: {outcome}")
    after = version.doctor(home)
    computed, passages = after["computed"] - before, after["index"]["points"]["memory"]
    return Loaded(passages, stored_after if "created" in outcome else 0.0, indexed_after, computed)


async def keep_random_vectors(version: Version, home: Path, texts: Sequence[str], seed: int) -> None:
    """Write random unit vectors for texts that fit the model's window, as if they had been computed before.

    The version brings the tables about itself: this program's would be another version's.
    """
    if version.run(home, "migrate").returncode != 0:
        raise SystemExit(f"{version.name} cannot make its tables")
    chance = np.random.default_rng(seed)
    server = EmbeddedPostgres(home / "postgres")
    connection = await connect(await server.start())
    try:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            hashes = [sha256(text.encode()).digest() for text in part]
            await connection.execute(KEEP_VECTORS, DEFAULT_MODEL, hashes, _directions(chance, len(part)))
    finally:
        await connection.close(timeout=5.0)
        await server.stop()


@contextmanager
def served(version: Version, home: Path) -> Iterator[LineClient]:
    """Lend a client of the version; end its engine afterwards."""
    try:
        with opened(LineClient(home, version.variables, command=version.command)) as client:
            yield client
    finally:
        stop_engine(home)


def settle(client: LineClient, home: Path) -> None:
    """Wait until answers are whole and the home's processes rest: a new graph is built in the background."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while client.call("query_memory", query="Is anybody there?")["degraded"] is not None or not _quiet(home):
        if time.monotonic() > deadline:
            raise SystemExit(f"{home} has not come to rest within {SETTLE_SECONDS:g} s")


def _quiet(home: Path) -> bool:
    before = _busy_seconds(home)
    time.sleep(QUIET_SECONDS)
    return _busy_seconds(home) - before <= QUIET_SHARE * QUIET_SECONDS


def _busy_seconds(home: Path) -> float:
    """Return the processor time that the home's processes have taken (Linux)."""
    ticks = 0
    for number in processes_of(home):
        try:
            told = (Path("/proc") / str(number) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(told[11]) + int(told[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _directions(chance: np.random.Generator, count: int) -> list[bytes]:
    """Return unit vectors as little-endian float32, which is how they are kept."""
    vectors = chance.standard_normal((count, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [vector.tobytes() for vector in vectors.astype("<f4")]
