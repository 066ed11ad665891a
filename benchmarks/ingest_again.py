"""Measures `memos-as ingest` on a folder of 10,000 files that did not change, and how many files each run reads.

The files are made, tracked by git, ingested and indexed once. The next runs are timed from launch
to exit, and their processor time is printed too, which other programs on the machine disturb less. In the end one file
is changed: a run must read that file and no other. A server or an engine that runs would spare each run the start of
the embedded Postgres, so the times are those of the slowest case.

    python benchmarks/ingest_again.py [--files N]
"""

import argparse
import random
import re
import resource
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from figures import verdict
from line_client import OURS, environment

RUNS = 5
SECONDS = 1.5
RACY_SECONDS = 2.5


@dataclass(frozen=True, slots=True)
class Again:
    """One run: its time from launch to exit, its processor time, and its summary."""

    seconds: float
    cpu_seconds: float
    summary: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        home, code = Path(folder) / "home", Path(folder) / "code"
        make(code, arguments.files, random.Random(arguments.seed))
        time.sleep(RACY_SECONDS)  # a file that was just written is read once more
        first = ingest(home, code)
        print(f"first: {first.summary} ({first.seconds:.1f} s)")
        runs = [ingest(home, code) for _ in range(RUNS)]
        print(f"again: {runs[-1].summary}")
        seconds = statistics.median(run.seconds for run in runs)
        cpu = statistics.median(run.cpu_seconds for run in runs)
        print(verdict(f"{seconds:.2f} s again (median of {RUNS}), at most {SECONDS:g} s", met=seconds <= SECONDS))
        print(f"{cpu:.2f} s of processor time")
        count_reads(home, code)


def make(code: Path, count: int, chance: random.Random) -> None:
    """Write Python modules of some functions each into 100 packages, and track them."""
    for number in range(count):
        file = code / f"package{number % 100}" / f"module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        functions = [
            f'def step_{number}_{part}(value):\n    """Add {chance.random():.6f} to the value."""\n    return value\n'
            for part in range(chance.randint(1, 3))
        ]
        file.write_text("\n\n".join(functions))
    subprocess.run(["git", "init", "--quiet"], cwd=code, check=True)
    subprocess.run(["git", "add", "--all"], cwd=code, check=True)


def ingest(home: Path, code: Path, *prefix: str) -> Again:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [*prefix, *OURS, "ingest", str(code)]
    done = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Again(seconds, cpu_seconds, done.stdout.splitlines()[0])


def count_reads(home: Path, code: Path) -> None:
    """Change one file, and count the files below the folder that are opened, as strace reports them."""
    changed = code / "package0" / "module0.py"
    changed.write_text(changed.read_text() + "\n\ndef more():\n    return 1\n")
    trace = home / "opened.txt"
    try:
        run = ingest(home, code, "strace", "-f", "-qq", "-e", "trace=openat,open", "-o", str(trace))
    except FileNotFoundError:
        print("strace is not installed: the opened files were not counted")
        return
    opened = set(re.findall(rf'"({re.escape(str(code))}/[^"]*\.py)"', trace.read_text()))
    print(f"one file changed: {run.summary}")
    print(verdict(f"{len(opened)} file of the folder opened, at most 1", met=opened == {str(changed)}))


if __name__ == "__main__":
    main()
