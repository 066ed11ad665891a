"""Measures launches of `memos-as` on a warm engine, interleaved with launches of other makers' servers.

Each time is from the launch of the process to the answer of `initialize`. The launches are interleaved, so that noise
of the machine affects all servers alike; each server is started once before without being measured. The other servers
are installed by `make bench-peers`; mcp-server-qdrant runs without its embedding model, which only makes it faster.

    python benchmarks/warm_start.py --peers build/peers
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from figures import percentile, row, verdict
from line_client import LineClient, engine_of, stop_engine

MEMOS_AS = str(Path(sys.executable).with_name("memos-as"))
WITHOUT_MODEL = str(Path(__file__).with_name("peers") / "qdrant_without_model.py")

GOAL_MILLISECONDS = 100.0
TIMES_FASTER_THAN_QDRANT = 20.0
WARM_WITHIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Server:
    """A server, the number of its launches, and the milliseconds of each launch."""

    name: str
    command: Sequence[str]
    home: Path
    launches: int
    variables: Mapping[str, str] = field(default_factory=dict)
    taken: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", type=int, default=30, help="of ours and of server-memory")
    parser.add_argument("--peer-launches", type=int, default=10, help="of mcp-server-qdrant, which takes seconds")
    parser.add_argument("--in-process-launches", type=int, default=5, help="of `memos-as --in-process`, likewise")
    parser.add_argument("--peers", type=Path, help="the folder that `make bench-peers` has installed them in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, warm_engine(Path(folder) / "warm") as home:
        ours = Server("memos-as, warm engine", [MEMOS_AS], home, arguments.launches)
        in_process = [MEMOS_AS, "--in-process"]
        home_alone = warmed(Path(folder) / "alone", *in_process)
        alone = Server("memos-as --in-process", in_process, home_alone, arguments.in_process_launches)
        peers = others(arguments.peers, Path(folder), arguments.launches, arguments.peer_launches)
        engine = engine_of(home)
        measure([ours, *peers, alone])
        if engine is None or engine_of(home) != engine:
            raise SystemExit("another engine was started; the figures are not those of a warm engine")
        print(f"milliseconds from the launch to the answer of initialize; one engine, process {engine}, served ours")
        report(ours, *peers, alone)
        judge(ours, peers)


@contextmanager
def warm_engine(home: Path) -> Iterator[Path]:
    """Yield a home folder whose engine has loaded its model; stop the engine afterwards."""
    try:
        yield warmed(home, MEMOS_AS)
    finally:
        stop_engine(home)


def warmed(home: Path, *command: str) -> Path:
    """Launch ours on a new home folder once, and query until an answer is not degraded."""
    client = LineClient(created(home), command=command)
    try:
        client.initialize()
        deadline = time.monotonic() + WARM_WITHIN_SECONDS
        while client.call("query_memory", query="Is anybody there?")["degraded"]:
            if time.monotonic() > deadline:
                raise SystemExit(f"no query was answered with the model within {WARM_WITHIN_SECONDS:g} s")
        client.close()
    finally:
        if client.process.poll() is None:
            client.kill()
    return home


def others(peers: Path | None, folder: Path, launches: int, qdrant_launches: int) -> list[Server]:
    """Return the other makers' servers, each with an empty store of its own, or none where they are not installed."""
    if peers is None:
        print("other makers' servers: skipped, because --peers names no folder with them; try `make bench-peers`")
        return []
    package = peers / "node" / "node_modules" / "@modelcontextprotocol" / "server-memory" / "package.json"
    memory_version = json.loads(package.read_text(encoding="utf-8"))["version"]
    python = str(peers / "qdrant" / "bin" / "python")
    ask_version = "from importlib.metadata import version; print(version('mcp-server-qdrant'))"
    return [
        Server(
            f"server-memory {memory_version}, Node {output_of('node', '--version')}",
            [str(peers / "node" / "node_modules" / ".bin" / "mcp-server-memory")],
            created(folder / "memory"),
            launches,
            {"MEMORY_FILE_PATH": str(folder / "memory" / "memory.jsonl")},
        ),
        Server(
            f"mcp-server-qdrant {output_of(python, '-c', ask_version)}, no model",
            [python, WITHOUT_MODEL],
            created(folder / "qdrant"),
            qdrant_launches,
            {"QDRANT_LOCAL_PATH": str(folder / "qdrant"), "COLLECTION_NAME": "memories"},
        ),
    ]


def measure(servers: Sequence[Server]) -> None:
    """Launch the servers one after the other; fewer launches of a server are spread evenly over all rounds."""
    for server in servers:
        launch(server)
    rounds = max(server.launches for server in servers)
    for index in range(rounds):
        for server in servers:
            if (index + 1) * server.launches // rounds > index * server.launches // rounds:
                server.taken.append(launch(server))


def launch(server: Server) -> float:
    """Start a server and wait until it exits; return the milliseconds until it answered `initialize`."""
    with tempfile.TemporaryFile() as stderr:
        client = LineClient(server.home, server.variables, command=server.command, stderr=stderr)
        try:
            client.initialize()
            taken = (time.perf_counter() - client.launched) * 1000
            client.close()
        except (EOFError, BrokenPipeError):
            stderr.seek(0)
            raise SystemExit(f"{server.name} has exited: {stderr.read().decode(errors='replace')}") from None
        finally:
            if client.process.poll() is None:
                client.kill()
    return taken


def report(ours: Server, *rest: Server) -> None:
    for server in (ours, *rest):
        if server.taken:
            print(f"{row(server.name, server.taken)}   {len(server.taken)} launches")
    for server in rest:
        if server.taken:
            print(f"{server.name:42} takes {times_longer(server, ours):8.2f} times as long, at p50")


def judge(ours: Server, peers: Sequence[Server]) -> None:
    """Print whether each part of the goal is met."""
    p50 = percentile(ours.taken, 0.5)
    print(verdict(f"p50 of {len(ours.taken)} launches <= {GOAL_MILLISECONDS:g} ms", met=p50 <= GOAL_MILLISECONDS))
    if peers and all(peer.taken for peer in peers):
        memory, qdrant = (times_longer(peer, ours) for peer in peers)
        print(verdict("faster than server-memory", met=memory > 1))
        goal = TIMES_FASTER_THAN_QDRANT
        print(verdict(f"at least {goal:g} times faster than mcp-server-qdrant", met=qdrant >= goal))


def times_longer(server: Server, ours: Server) -> float:
    return percentile(server.taken, 0.5) / percentile(ours.taken, 0.5)


def output_of(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def created(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
