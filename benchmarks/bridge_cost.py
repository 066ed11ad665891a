"""Measures what one more idle stdio client costs in memory, and one call in time, above the engine's own socket.

Memory is the proportional set size (Linux): that of the bridges, and what the engine and its index process have grown
by. The clients are idle after `initialize` and `tools/list`; one more client was there before, so the engine is warm.
`ping` is sent in turn, in blocks, through a bridge and on a socket of the same engine, by the same few lines of client.
"""

import argparse
import gc
import json
import os
import socket
import tempfile
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from figures import percentile, row, timed, verdict
from line_client import PROTOCOL_VERSION, LineClient, connected, is_bridge, processes_of

from memos_mcp.ipc.handshake import decode, greeting
from memos_mcp.ipc.run_dir import RunDir

BLOCK = 100
WARM_UP = 200
SETTLE_SECONDS = 1.0
MEGABYTE = 1e6

MEMORY_GOAL = 15.0
PING_GOAL = 0.3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pings", type=int, default=2_000, help="on each of the two ways")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, connected(Path(folder)) as warm:
        for number in range(20):
            warm.call("store_memory", content=f"The bicycle of house number {number} was repaired.")
            warm.call("query_memory", query=f"What happened to the bicycle of house {number}?")
        measure_memory(Path(folder), arguments.clients)
        measure_pings(Path(folder), warm, arguments.pings)


def measure_memory(home: Path, clients: int) -> None:
    before, bridges_before = engine_megabytes(home), set(bridges_of(home))
    with ExitStack() as stack:
        growth, costs, bridges = 0.0, list[float](), list[float]()
        for _ in range(clients):
            client = LineClient(home)
            stack.callback(client.kill)
            client.initialize()
            client.request("tools/list")
            time.sleep(SETTLE_SECONDS)
            growth = engine_megabytes(home) - before
            bridges = sorted(megabytes(number) for number in set(bridges_of(home)) - bridges_before)
            costs.append(sum(bridges) + growth)
    print(f"{clients} idle clients, proportional set size; the engine and its index process had {before:.1f} MB")
    first, each = costs[0], costs[-1] / clients
    print(f"a bridge {bridges[0]:.2f} to {bridges[-1]:.2f} MB; the engine grew by {growth:.2f} MB for all of them")
    print(f"the first client cost {first:.2f} MB, one of {clients} {each:.2f} MB on average")
    met = len(bridges) == clients and max(first, each) <= MEMORY_GOAL
    print(verdict(f"one more idle client costs <= {MEMORY_GOAL:g} MB", met=met))


def measure_pings(home: Path, client: LineClient, pings: int) -> None:
    numbers = count(1_000_000)
    stdin, stdout = client.process.stdin, client.process.stdout
    assert stdin is not None
    assert stdout is not None
    through_bridge, on_socket = list[float](), list[float]()
    with engine_socket(home) as connection:
        ways = (
            (stdin.fileno(), stdout.fileno(), through_bridge),
            (connection.fileno(), connection.fileno(), on_socket),
        )
        for to, answers, _ in ways:
            for _ in range(WARM_UP):
                ping(to, answers, next(numbers))
        gc.disable()
        for _ in range(pings // BLOCK):
            for to, answers, milliseconds in ways:
                for _ in range(BLOCK):
                    with timed(milliseconds):
                        ping(to, answers, next(numbers))
    print(f"{len(on_socket):,} calls of `ping` on each way, in turn, in blocks of {BLOCK}")
    print(row("through the bridge", through_bridge))
    print(row("on the engine's socket", on_socket))
    more = percentile(through_bridge, 0.5) - percentile(on_socket, 0.5)
    print(f"a call through the bridge takes {more:.3f} ms more at p50")
    print(verdict(f"a no-op call through the bridge costs <= {PING_GOAL:g} ms more", met=more <= PING_GOAL))


def engine_socket(home: Path) -> socket.socket:
    """Return a connection to the engine with an open session."""
    connection = RunDir(str(home)).connect()
    if connection is None:
        raise SystemExit("no engine listens")
    connection.settimeout(None)
    connection.sendall(greeting("serve", {}))
    told = decode(line_from(connection.fileno()))
    if told is None or told["answer"] != "welcome":
        raise SystemExit(f"the engine said {told}")
    about = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": {"name": "socket", "version": "1"}}
    say(connection.fileno(), {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about})
    line_from(connection.fileno())
    say(connection.fileno(), {"jsonrpc": "2.0", "method": "notifications/initialized"})
    return connection


def ping(to: int, answers: int, number: int) -> None:
    say(to, {"jsonrpc": "2.0", "id": number, "method": "ping"})
    answer = json.loads(line_from(answers))
    if answer["id"] != number or "result" not in answer:
        raise SystemExit(f"the answer is not the expected one: {answer}")


def say(to: int, message: dict[str, object]) -> None:
    os.write(to, json.dumps(message).encode() + b"\n")


def line_from(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (part := os.read(descriptor, 1 << 16)):
            raise SystemExit("the line was closed")
        line += part
    return line


def bridges_of(home: Path) -> list[int]:
    return [number for number, command in processes_of(home).items() if is_bridge(command)]


def engine_megabytes(home: Path) -> float:
    """Return the memory of the engine and its index process; Postgres, a process for each of its own, is not in it."""
    ours = [number for number, command in processes_of(home).items() if "memos_mcp" in command]
    return sum(megabytes(number) for number in set(ours) - set(bridges_of(home)))


def megabytes(process: int) -> float:
    """Return the proportional set size of a process."""
    for line in (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise SystemExit(f"the memory of process {process} is not told")


if __name__ == "__main__":
    main()
