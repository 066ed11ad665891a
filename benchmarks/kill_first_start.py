"""Kills every process of a first start at a random moment, and starts again on what remains.

Each round has a home of its own. A client connects and stores; after a random time the bridge, the engine, the index
process and PostgreSQL are killed, as by a power cut that keeps what was written. Then a client connects, finds what was
acknowledged to the first one, and stores and finds another memory; `memos-as doctor` must find nothing.

    python benchmarks/kill_first_start.py --rounds 50
"""

import argparse
import os
import random
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from figures import verdict
from line_client import OURS, LineClient, ToolFailed, connected, environment, processes_of

LONGEST_SECONDS = 5.0
BEFORE, AFTER = "The heron nests beside the mill.", "The otter swims in the pond."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--longest", type=float, default=LONGEST_SECONDS, help="seconds until the kill, at most")
    arguments = parser.parse_args()
    chance, failures, acknowledged = random.Random(arguments.seed), list[str](), 0
    for number in range(arguments.rounds):
        seconds = chance.uniform(0, arguments.longest)
        with tempfile.TemporaryDirectory(prefix="memos-first-", ignore_cleanup_errors=True) as folder:
            home = Path(folder, "home")
            is_stored = killed_start(home, seconds)
            acknowledged += is_stored
            if (failure := second_start(home, is_stored=is_stored)) is not None:
                failures.append(f"round {number + 1}, killed after {seconds:.2f} s: {failure}")
                print(failures[-1], flush=True)
    print(f"{arguments.rounds} first starts killed, {acknowledged} after a memory was acknowledged")
    print(verdict("the next start serves, and has what was acknowledged", met=not failures))


def killed_start(home: Path, seconds: float) -> bool:
    """Start on a new home, store, and kill everything after this time; return whether the store was acknowledged."""
    client, stored = LineClient(home, stderr=subprocess.DEVNULL), threading.Event()

    def use() -> None:
        with suppress(OSError, EOFError, ToolFailed):
            client.initialize()
            client.call("store_memory", content=BEFORE)
            stored.set()

    user = threading.Thread(target=use)
    user.start()
    stored.wait(seconds)
    while processes := processes_of(home):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        client.process.poll()  # a zombie has a working folder still
    user.join()
    client.kill()
    return stored.is_set()


def second_start(home: Path, *, is_stored: bool) -> str | None:
    """Store and search on what remains; return what failed."""
    try:
        with connected(home, stderr=subprocess.DEVNULL) as client:
            client.call("store_memory", content=AFTER)
            found = [client.call("query_memory", query=text)["memories"] for text in (AFTER, *[BEFORE] * is_stored)]
    except (ToolFailed, EOFError, TimeoutError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    for text, memories in zip((AFTER, BEFORE), found, strict=False):
        if text not in [memory["content"] for memory in memories]:
            return f"not found: {text}"
    doctor = subprocess.run([*OURS, "doctor"], env=environment(home), capture_output=True, text=True, check=False)
    return f"doctor: {doctor.stdout[-500:]}" if doctor.returncode else None


if __name__ == "__main__":
    main()
