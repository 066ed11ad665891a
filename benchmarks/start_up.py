"""Launches the stdio server and prints how long it takes to answer: initialize, tools/list, a question.

First on an empty home, which creates a database cluster and builds the model, then on the same home again and again.
The client speaks raw lines (`line_client.py`); times are from the launch of the process.
"""

import argparse
import tempfile
import time
from pathlib import Path

from figures import row
from line_client import LineClient

MEMORY = "The staging database moved to the new cluster on Tuesday."
QUESTION = "Where is the staging database?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5, help="later starts")
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        first = start(Path(folder))
        later = [start(Path(folder)) for _ in range(starts)]
    print(f"milliseconds from the launch; a first start, then {starts} later ones on the same home")
    for name, milliseconds in first.items():
        print(f"first: {name:35} {milliseconds:12.2f} ms")
    for name in first:
        print(row(f"later: {name}", [times[name] for times in later]))


def start(home: Path) -> dict[str, float]:
    """Start a server, use it and end it; return the milliseconds from its launch to each answer."""
    times: dict[str, float] = {}
    client = LineClient(home)
    try:
        client.initialize()
        times["initialize answered"] = since(client.launched)
        client.request("tools/list")
        times["tools/list answered"] = since(client.launched)
        client.call("store_memory", content=MEMORY)
        times["first store answered"] = since(client.launched)
        answer = client.call("query_memory", query=QUESTION)
        times["first query answered"] = since(client.launched)
        while answer["degraded"]:
            answer = client.call("query_memory", query=QUESTION)
        times["first query not marked degraded"] = since(client.launched)
        if [hit["content"] for hit in answer["memories"]] != [MEMORY]:
            raise SystemExit(f"the answer is not the expected one: {answer}")
        leaving = time.perf_counter()
        client.close()
        times["stdin closed to exit"] = since(leaving)
    finally:
        if client.process.poll() is None:
            client.kill()
    return times


def since(moment: float) -> float:
    return (time.perf_counter() - moment) * 1000


if __name__ == "__main__":
    main()
