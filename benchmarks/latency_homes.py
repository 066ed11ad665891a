"""Versions of the product for `latency.py`: each loads and serves its own homes, through its own command line."""

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
SETTLE_SECONDS = 3_600.0
"""A home is quiet when its processes use at most this share of a core for that long; building a graph takes a while."""

STORE_VECTORS = """
    INSERT INTO embeddings (model, content_hash, vector)
    SELECT $1, content_hash, vector FROM unnest($2::bytea[], $3::bytea[]) AS new (content_hash, vector)
    ON CONFLICT (model, content_hash) DO NOTHING
"""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A package of the product and the command that launches it; `variables` put it on the import path."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]

    def run(self, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of its commands on a home; its stderr is shown."""
        return subprocess.run(
            [*self.command, *arguments],
            env={**environment(home), **self.variables},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )

    def doctor(self, home: Path) -> dict[str, Any]:
        """Return the JSON of its doctor."""
        findings: dict[str, Any] = json.loads(self.run(home, "doctor", "--json").stdout)
        return findings


@dataclass(frozen=True, slots=True)
class Loaded:
    """The seconds of an import and the number of its passages; 0 seconds when all memories were there already."""

    passages: int
    stored_after: float
    indexed_after: float
    computed: int


def version(name: str, path: Path) -> Version:
    """Return the version of a checkout (with its own `.venv`, or else this interpreter), or of an interpreter."""
    checkout = path.is_dir()
    own = path / ".venv" / "bin" / "python"
    python = str(own if own.exists() else sys.executable) if checkout else str(path)
    # Without the safe path, the folder of this program would come first on the import path.
    variables = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(path.resolve()) if checkout else ""}
    found = subprocess.run(
        [python, "-c", "import memos_mcp; print(memos_mcp.__file__)"],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    if checkout and not Path(found).is_relative_to(path.resolve()):
        raise SystemExit(f"{path} would run {found}")
    return Version(name, (python, "-m", "memos_mcp"), variables)


def load(version: Version, home: Path, lines: Sequence[Mapping[str, Any]]) -> Loaded:
    """Import these memories; measure until the command reports that all are stored, and until all are indexed."""
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


async def store_random_vectors(version: Version, home: Path, texts: Sequence[str], seed: int) -> None:
    """Store random unit vectors for texts that fit the model's window, as if they had been computed before.

    The version itself creates the tables, because another version's schema may differ.
    """
    if version.run(home, "migrate").returncode != 0:
        raise SystemExit(f"{version.name} cannot create its tables")
    chance = np.random.default_rng(seed)
    server = EmbeddedPostgres(home / "postgres")
    connection = await connect(await server.start())
    try:
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            hashes = [sha256(text.encode()).digest() for text in part]
            await connection.execute(STORE_VECTORS, DEFAULT_MODEL, hashes, _directions(chance, len(part)))
    finally:
        await connection.close(timeout=5.0)
        await server.stop()


@contextmanager
def served(version: Version, home: Path) -> Iterator[LineClient]:
    """Yield a client of the version; stop its engine afterwards."""
    try:
        with opened(LineClient(home, version.variables, command=version.command)) as client:
            yield client
    finally:
        stop_engine(home)


def settle(client: LineClient, home: Path) -> None:
    """Wait until no answer is degraded and the home's processes are idle: a new graph is built in the background.

    It is built by a second index process, which writes for many seconds without any processor time.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while client.call("query_memory", query="Is anybody there?")["degraded"] is not None or not _quiet(home):
        if time.monotonic() > deadline:
            raise SystemExit(f"{home} was not idle within {SETTLE_SECONDS:g} s")


def _quiet(home: Path) -> bool:
    before = _busy_seconds(home)
    time.sleep(QUIET_SECONDS)
    building = sum("edge.worker" in command for command in processes_of(home).values()) > 1
    return not building and _busy_seconds(home) - before <= QUIET_SHARE * QUIET_SECONDS


def processor_seconds(process: int) -> float:
    """Return the processor seconds that a process has used, 0 when it has ended (Linux)."""
    try:
        fields = (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _busy_seconds(home: Path) -> float:
    return sum(map(processor_seconds, processes_of(home)))


def _directions(chance: np.random.Generator, count: int) -> list[bytes]:
    """Return unit vectors as little-endian float32, the stored format."""
    vectors = chance.standard_normal((count, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [vector.tobytes() for vector in vectors.astype("<f4")]
