"""Measures a cold start of the stdio server: the time from its launch to each of its first answers.

It is launched through the bridge, whose engine is stopped between the starts, and with `--in-process`. The first starts
are on empty homes, which creates a database cluster and builds the model; the later ones on one home with data. The
client sends raw lines (`line_client.py`).

    python benchmarks/start_up.py --starts 20
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from figures import percentile, row, verdict
from line_client import IN_PROCESS, OURS, LineClient, processes_of, stop_engine

MEMORY = "The staging database moved to the new cluster on Tuesday."
QUESTION = "Where is the staging database?"

INITIALIZE_GOAL = 1_500.0
QUERY_GOAL = 3_000.0
FIRST_STORE_GOAL = 8_000.0

INITIALIZE, LISTING = "initialize answered", "tools/list answered"
STORE, QUERY, WHOLE = "first store answered", "first query answered", "first query not marked degraded"
EXITED, STOPPED = "stdin closed to exit", "`memos-as stop` to the last exit"

Times = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=20, help="through the bridge, with data")
    parser.add_argument("--in-process-starts", type=int, default=5, help="with data")
    parser.add_argument("--first-starts", type=int, default=3, help="of each, on empty homes")
    arguments = parser.parse_args()
    first, later = measure("through the bridge", OURS, arguments.first_starts, arguments.starts)
    measure("in process", IN_PROCESS, arguments.first_starts, arguments.in_process_starts)
    initialize, query = (percentile([times[name] for times in later], 0.95) for name in (INITIALIZE, WHOLE))
    store = max(times[STORE] for times in first)
    print(
        verdict(f"nothing running: p95 of initialize is {initialize:.0f} <= 1500 ms", met=initialize <= INITIALIZE_GOAL)
    )
    print(verdict(f"nothing running: p95 of the first query is {query:.0f} <= 3000 ms", met=query <= QUERY_GOAL))
    print(
        verdict(f"first start ever: the slowest first store is {store:.0f} <= 8000 ms", met=store <= FIRST_STORE_GOAL)
    )


def measure(name: str, command: Sequence[str], first_starts: int, starts: int) -> tuple[list[Times], list[Times]]:
    """Start the server on empty homes, then on the last of these; print and return the milliseconds."""
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        homes = [Path(folder) / str(number) for number in range(first_starts)]
        first = [start(home, command, empty=True) for home in homes]
        later = [start(homes[-1], command, empty=False) for _ in range(starts)]
    print(f"{name}: milliseconds from the launch, {first_starts} first starts ever, then {starts} with data")
    for kind, times in (("first", first), ("later", later)):
        for answer in times[0]:
            print(row(f"{kind}: {answer}", [each[answer] for each in times]))
    return first, later


def start(home: Path, command: Sequence[str], *, empty: bool) -> Times:
    """Start a server cold, use it and stop it; return the milliseconds from its launch to each answer."""
    if running := processes_of(home):
        raise SystemExit(f"processes already run on this home: {running}")
    home.mkdir(exist_ok=True)
    times: Times = {}
    client = LineClient(home, command=command)
    try:
        client.initialize()
        times[INITIALIZE] = since(client.launched)
        client.request("tools/list")
        times[LISTING] = since(client.launched)
        if empty:
            client.call("store_memory", content=MEMORY)
            times[STORE] = since(client.launched)
        answer = client.call("query_memory", query=QUESTION)
        times[QUERY] = since(client.launched)
        while answer["degraded"]:
            answer = client.call("query_memory", query=QUESTION)
        times[WHOLE] = since(client.launched)
        if [hit["content"] for hit in answer["memories"]] != [MEMORY]:
            raise SystemExit(f"the answer is not the expected one: {answer}")
        leaving = time.perf_counter()
        client.close()
        times[EXITED] = since(leaving)
    finally:
        if client.process.poll() is None:
            client.kill()
        if command == OURS:
            leaving = time.perf_counter()
            stop_engine(home)
            times[STOPPED] = since(leaving)
    return times


def since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1000


if __name__ == "__main__":
    main()
