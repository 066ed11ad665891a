"""Tenants of one engine over HTTP: what a flood of one does to the others, and what HTTP and tokens cost.

Eight tenants have four clients each, which ask every half second or so; in every other phase, one tenant asks as fast
as it can. Further, the throughput of a cached question with and without a token, and of `tools/list` beside the server
of the SDK that does nothing, also in alternating phases, so that a busy machine slows both alike. Exits with 1 when a
bar is missed.

    python benchmarks/tenants.py --seconds 5 --rounds 4
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median

from figures import percentile, verdict
from fleet.engines import START_SECONDS, TOKEN, Engine, free_port
from fleet.raw_client import RawClient, Times, in_threads, measure, repeat
from latency_homes import ROOT

TENANTS = 8
CLIENTS = 4
FLOOD = 16
"""Calls that the flooding tenant has under way at any time, in place of those of its four clients."""

PAUSE_SECONDS = 0.5
AT_ONCE = 8
MEMORIES = 10
MOST_SLOWED = 1.5
MIN_WITH_TOKEN = 0.9
MIN_LISTS = 1_000
OPEN = {"MEMOS_AUTH": "none", "MEMOS_AUTH_TOKEN": ""}
LIMITS = ("--calls-a-minute", "600", "--concurrent-calls", "8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each phase takes")
    parser.add_argument("--rounds", type=int, default=4, help="how many pairs of phases there are")
    arguments = parser.parse_args()
    seconds, rounds = arguments.seconds, arguments.rounds
    with (
        tempfile.TemporaryDirectory(prefix="memos-tenants-", ignore_cleanup_errors=True) as folder,
        ProcessPoolExecutor(2, get_context("spawn")) as processes,
        ExitStack() as stack,
    ):
        list(processes.map(time.sleep, [1.0, 1.0]))  # both processes have started when the first phase begins
        engine = stack.enter_context(started(Path(folder, "home"), {}))
        tokens = [make_token(engine.home, f"tenant-{number}") for number in range(TENANTS)]
        for token in tokens:
            store(engine.port, token)
        slowed = flooded(processes, engine.port, tokens, seconds, rounds)
        memos(engine.home, "quota", "set", "--namespace", "tenant-0", *LIMITS)
        print(f"\nwith a quota of the flooding tenant ({' '.join(LIMITS)}):")
        limited = flooded(processes, engine.port, tokens, seconds, rounds)
        opened = stack.enter_context(started(Path(folder, "open"), OPEN))
        floor = stack.enter_context(noop_server())
        store(engine.port, TOKEN)
        store(opened.port, None)
        own, open_, noop = (engine.port, TOKEN), (opened.port, None), (floor, None)
        with_token = compare(
            processes, "cached questions with a token and without", ask_again, [own, open_], seconds, rounds
        )
        lists = compare(
            processes, "tools/list, and of the SDK's server", RawClient.list_tools, [own, noop], seconds, rounds
        )
    bars = {
        f"others' p95 within {MOST_SLOWED} x during a flood": slowed <= MOST_SLOWED,
        "the same with a quota of the flooding tenant": limited <= MOST_SLOWED,
        f"with a token {MIN_WITH_TOKEN} of the throughput or more": with_token.share >= MIN_WITH_TOKEN,
        f"{MIN_LISTS:,} tools/list a second or more": lists.a_second >= MIN_LISTS,
    }
    for bar, met in bars.items():
        print(verdict(bar, met=met))
    return 0 if all(bars.values()) else 1


def flooded(processes: ProcessPoolExecutor, port: int, tokens: Sequence[str], seconds: float, rounds: int) -> float:
    """Return by what factor the p95 of the other tenants grows while the first one floods: the median of the rounds."""
    calm, during = ([Times() for _ in tokens] for _ in range(2))
    factors = []
    for _ in range(rounds):
        quiet = processes.submit(paced, port, tokens, seconds).result()
        flood = processes.submit(repeat, port, tokens[0], ask_something, seconds, FLOOD)
        loud = [Times(), *processes.submit(paced, port, tokens[1:], seconds).result()]
        loud[0] = flood.result()
        factors.append(p95_of_others(loud) / p95_of_others(quiet))
        for all_of, phase in ((calm, quiet), (during, loud)):
            for total, one in zip(all_of, phase, strict=True):
                total.milliseconds += one.milliseconds
                total.refused += one.refused
    for number, phases in enumerate(zip(calm, during, strict=True)):
        p95 = [percentile(times.milliseconds, 0.95) for times in phases]
        rate = [len(times.milliseconds) / seconds / rounds for times in phases]
        print(
            f"tenant {number}: p95 {p95[0]:7.1f} ms, during the flood {p95[1]:7.1f} ms; answers a second "
            f"{rate[0]:6.1f}, during the flood {rate[1]:6.1f} and {phases[1].refused} refusals"
        )
    print(
        f"p95 of the others: {p95_of_others(calm):.1f} ms, during the flood {p95_of_others(during):.1f} ms; "
        f"by round {', '.join(f'{factor:.2f}' for factor in factors)} x"
    )
    return median(factors)


def p95_of_others(tenants: Sequence[Times]) -> float:
    """Return the p95 of all tenants but the first one."""
    return percentile([one for tenant in tenants[1:] for one in tenant.milliseconds], 0.95)


def paced(port: int, tokens: Sequence[str], seconds: float) -> list[Times]:
    """Let the clients of these tenants ask for so long, each with pauses; return the times of each tenant."""
    tenants = [Times() for _ in tokens]
    began = time.perf_counter()
    total = CLIENTS * len(tokens)

    def client(first: int) -> None:
        connection, times = RawClient(port, tokens[first % len(tokens)]), tenants[first % len(tokens)]
        pauses = Random(first)
        time.sleep(PAUSE_SECONDS * first / total)
        while time.perf_counter() < began + seconds:
            measure(times, lambda: ask_something(connection))
            time.sleep(PAUSE_SECONDS * pauses.uniform(0.5, 1.5))
        connection.close()

    in_threads([partial(client, first) for first in range(total)])
    return tenants


def ask_something(client: RawClient) -> bytes:
    """Ask what nobody has asked before."""
    return client.ask(f"Where was the heron of {time.perf_counter_ns()} seen?")


def ask_again(client: RawClient) -> bytes:
    """Ask what was asked before."""
    return client.ask("heron")


@dataclass(frozen=True)
class Compared:
    """a_second: requests of the first server. share: what that is of the other one's."""

    a_second: float
    share: float


def compare(
    processes: ProcessPoolExecutor,
    name: str,
    send: Callable[[RawClient], bytes],
    servers: Sequence[tuple[int, str | None]],
    seconds: float,
    rounds: int,
) -> Compared:
    """Return how many requests a second two servers answer: the medians of the rounds."""
    answered = []
    for _ in range(rounds):
        phases = [processes.submit(repeat, *server, send, seconds, AT_ONCE).result() for server in servers]
        answered.append([len(times.milliseconds) / seconds for times in phases])
    own, others = (median(column) for column in zip(*answered, strict=True))
    share = median(first / second for first, second in answered)
    print(f"{name}: {own:.0f} and {others:.0f} a second ({share:.2f} x)")
    return Compared(own, share)


def store(port: int, token: str | None) -> None:
    """Store a few memories, and ask once, so that the model is loaded."""
    client = RawClient(port, token)
    for number in range(MEMORIES):
        client.call("store_memory", content=f"Note {number}: the heron was seen at lake {number}.")
    ask_again(client)
    client.close()


@contextmanager
def started(home: Path, settings: Mapping[str, str]) -> Iterator[Engine]:
    """Start an engine; stop it at the end."""
    home.mkdir()
    engine = Engine(home, settings)
    engine.start()
    try:
        engine.wait_until_ready()
        yield engine
    finally:
        engine.stop()


@contextmanager
def noop_server() -> Iterator[int]:
    """Start the SDK's server; yield its port."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("noop_server.py")), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                RawClient(port, None).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def make_token(home: Path, namespace: str) -> str:
    """Make the token of a tenant."""
    return memos(home, "token", "create", "--namespace", namespace).strip()


def memos(home: Path, *arguments: str) -> str:
    """Run a command on the data folder; return what it prints."""
    command = [sys.executable, "-m", "memos_mcp", *arguments]
    variables = {**os.environ, "MEMOS_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
