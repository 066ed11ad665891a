"""Measures the memory that one more idle stdio client costs, and the time that the bridge adds to a call.

Memory is the proportional set size (Linux): the bridges' own, plus the growth of the engine and its index process. The
clients are idle after `initialize` and `tools/list`. Another client is connected before them, so the engine is warm.
`ping` is sent in alternating blocks through a bridge and on the engine's own socket, by the same few lines of client.
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

from memos_mcp.ipc.handshake import decode, request_line
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
    parser.add_argument("--pings", type=int, default=2_000, help="on each of the two connections")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder, connected(Path(folder)) as warm:
        for number in range(20):
            warm.call("store_memory", content=f"The bicycle with number {number} was repaired.")
            warm.call("query_memory", query=f"What happened to bicycle {number}?")
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
        connections = (
            (stdin.fileno(), stdout.fileno(), through_bridge),
            (connection.fileno(), connection.fileno(), on_socket),
        )
        for outgoing, incoming, _ in connections:
            for _ in range(WARM_UP):
                ping(outgoing, incoming, next(numbers))
        gc.disable()
        for _ in range(pings // BLOCK):
            for outgoing, incoming, milliseconds in connections:
                for _ in range(BLOCK):
                    with timed(milliseconds):
                        ping(outgoing, incoming, next(numbers))
    print(f"{len(on_socket):,} calls of `ping` on each connection, in alternating blocks of {BLOCK}")
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
    connection.sendall(request_line("serve", {}))
    reply = decode(read_line(connection.fileno()))
    if reply is None or reply["answer"] != "welcome":
        raise SystemExit(f"the engine answered {reply}")
    params = {"protocolVersion": PROTOCOL_VERSION, "capabilities": {}, "clientInfo": {"name": "socket", "version": "1"}}
    write_message(connection.fileno(), {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    read_line(connection.fileno())
    write_message(connection.fileno(), {"jsonrpc": "2.0", "method": "notifications/initialized"})
    return connection


def ping(outgoing: int, incoming: int, number: int) -> None:
    write_message(outgoing, {"jsonrpc": "2.0", "id": number, "method": "ping"})
    answer = json.loads(read_line(incoming))
    if answer["id"] != number or "result" not in answer:
        raise SystemExit(f"the answer is not the expected one: {answer}")


def write_message(descriptor: int, message: dict[str, object]) -> None:
    os.write(descriptor, json.dumps(message).encode() + b"\n")


def read_line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        if not (part := os.read(descriptor, 1 << 16)):
            raise SystemExit("the line was closed")
        line += part
    return line


def bridges_of(home: Path) -> list[int]:
    return [number for number, command in processes_of(home).items() if is_bridge(command)]


def engine_megabytes(home: Path) -> float:
    """Return the memory of the engine and its index process, without that of Postgres."""
    ours = [number for number, command in processes_of(home).items() if "memos_mcp" in command]
    return sum(megabytes(number) for number in set(ours) - set(bridges_of(home)))


def megabytes(process: int) -> float:
    """Return the proportional set size of a process."""
    for line in (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise SystemExit(f"/proc does not report the memory of process {process}")


if __name__ == "__main__":
    main()
