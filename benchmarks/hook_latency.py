"""Measures what a client waits for its hooks: from the launch of `memos-as hook` to its end.

Prompts are asked of a warm engine with some thousand memories, each in a session of its own so that something is found
each time; then without an engine, and with one that is frozen (SIGSTOP). With `--capture` the prompts are stored, too.

    python benchmarks/hook_latency.py --events 200
"""

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from figures import percentile, row, timed, verdict
from latency_texts import generated, questions_about
from line_client import OURS, connected, engine_of, environment

WARM_MILLISECONDS = 150.0
SILENT_MILLISECONDS = 300.0
SILENT_EVENTS = 30
SEED = 17


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--memories", type=int, default=1_000)
    parser.add_argument("--capture", action="store_true", help="also store the prompts")
    arguments = parser.parse_args()
    options = ["--capture"] if arguments.capture else []
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        home = Path(folder) / "home"
        lines = list(generated(arguments.memories, SEED))
        questions = questions_about(lines, arguments.events, SEED)
        absent = ask(home, questions[:SILENT_EVENTS], options)
        with connected(home) as client:
            for line in lines:
                client.call("store_memory", content=line["content"])
            client.call("query_memory", query=questions[0])
            warm = ask(home, questions, options)
            engine = engine_of(home)
            assert engine is not None
            os.kill(engine, signal.SIGSTOP)
            try:
                frozen = ask(home, questions[:SILENT_EVENTS], options)
            finally:
                os.kill(engine, signal.SIGCONT)
    report(warm, absent, frozen, arguments.events)


def report(warm: "Asked", absent: "Asked", frozen: "Asked", events: int) -> None:
    for name, asked in (("warm engine", warm), ("no engine", absent), ("frozen engine", frozen)):
        print(row(name, asked.milliseconds), f"  answered {asked.answered}")
    print(
        verdict(
            f"p95 on a warm engine at most {WARM_MILLISECONDS:g} ms over {events} events",
            met=percentile(warm.milliseconds, 0.95) <= WARM_MILLISECONDS and warm.answered > events // 2,
        )
    )
    silent = absent.answered == frozen.answered == 0
    slowest = max(*absent.milliseconds, *frozen.milliseconds)
    print(
        verdict(
            f"nothing is printed without one, within {SILENT_MILLISECONDS:g} ms",
            met=silent and slowest <= SILENT_MILLISECONDS,
        )
    )


class Asked:
    """The milliseconds of each event, and how many were answered."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self.answered = 0


def ask(home: Path, questions: list[str], options: list[str]) -> Asked:
    """Run the hook for each question in a new session; it must succeed."""
    asked = Asked()
    for number, question in enumerate(questions):
        given = json.dumps({"session_id": f"{time.time_ns()}-{number}", "cwd": "/home/ada/shop", "prompt": question})
        command = [*OURS, "hook", "UserPromptSubmit", *options]
        with timed(asked.milliseconds):
            ran = subprocess.run(command, input=given.encode(), env=environment(home), capture_output=True, check=True)
        assert ran.stderr == b""
        asked.answered += bool(ran.stdout)
    return asked


if __name__ == "__main__":
    main()
