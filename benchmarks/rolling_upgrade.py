"""Kills engines of a fleet at random, then upgrades them one after the other, under clients that repeat failed calls.

Two engines serve over HTTP, on one PostgreSQL and one index server (fleet/index_server.py). Eight clients store
memories and read them again; half of them have sessions of the older protocol. First an engine is killed with SIGKILL
at a random moment and started again, as often as asked. Then each engine is stopped with SIGTERM and a newer build is
started instead, whose migration adds to the schema while the other engine works; that one is also killed and started
again on the newer schema. At the end each acknowledged memory is read by its id.

    python benchmarks/rolling_upgrade.py --kills 100
"""

import argparse
import itertools
import json
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from figures import verdict
from fleet.engines import TOKEN, Engine, newer_build, running_fleet
from fleet.http_client import HttpClient, Interrupted, NotRetryable
from sample_memories import memory

CLIENTS = 8
ENGINES = 2
EARLIEST_KILL_SECONDS = 0.05
LATEST_KILL_SECONDS = 1.0
PAUSE_SECONDS = 0.05
STUCK_SECONDS = 600.0
PAGE = 20


@dataclass(slots=True)
class FleetTally:
    """The figures of a run. `shown`: errors that a client would see, because repeating the call could not help."""

    kills: int = 0
    upgraded: int = 0
    restarts_on_newer_schema: int = 0
    acknowledged: int = 0
    during_upgrade: int = 0
    lost: int = 0
    duplicates: int = 0
    retried: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    failed_clients: list[str] = field(default_factory=list)
    longest_gap: float = 0.0


class Writer:
    """One client that stores memories and reads each one again, until it is stopped."""

    def __init__(self, number: int, engines: list[Engine]) -> None:
        self.client = HttpClient(
            lambda: [engine.url for engine in engines], TOKEN, first=number, legacy=number % 2 == 1
        )
        self.ids: dict[int, str] = {}
        self.shown: list[str] = []
        self.longest_gap = 0.0
        self.failure: str | None = None
        self._number = number

    def run(self, stop: threading.Event) -> None:
        try:
            last = time.monotonic()
            for number in itertools.count(self._number, CLIENTS):
                stored = self._call(stop, "store_memory", {"content": memory(number)})
                if stored is None:
                    return
                self.ids[number] = str(stored["memory_id"])
                self._call(stop, "query_memory", {"memory_ids": [self.ids[number]]})
                self.longest_gap = max(self.longest_gap, time.monotonic() - last)
                last = time.monotonic()
        except Exception as error:  # noqa: BLE001  # any failure of a client is counted
            self.failure = repr(error)

    def _call(self, stop: threading.Event, tool: str, arguments: Mapping[str, object]) -> dict[str, object] | None:
        """Call until it is answered; return None when stopped before, or after an error that would be shown."""
        while not stop.is_set():
            try:
                return self.client.call(tool, **arguments)
            except Interrupted:
                time.sleep(PAUSE_SECONDS)
            except NotRetryable as error:
                self.shown.append(str(error))
                time.sleep(PAUSE_SECONDS)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-fleet-", ignore_cleanup_errors=True) as folder:
        tally = run(Path(folder), arguments.kills, random.Random(arguments.seed), quiet=arguments.json)
    if arguments.json:
        print(json.dumps(asdict(tally)))
    else:
        report(tally, arguments.kills)


def run(folder: Path, kills: int, chance: random.Random, *, quiet: bool) -> FleetTally:
    """Run the fleet in this folder; return the figures."""
    folder.chmod(0o755)  # PostgreSQL may be another user
    tally, stop = FleetTally(), threading.Event()
    newer = newer_build(folder / "newer")
    with running_fleet(folder, ENGINES) as engines:
        writers = [Writer(number, engines) for number in range(CLIENTS)]
        threads = [threading.Thread(target=writer.run, args=(stop,)) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            kill_at_random(engines, writers, kills, chance, tally, quiet=quiet)
            upgrade(engines, writers, newer, tally, quiet=quiet)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        count(engines, writers, tally)
    return tally


def kill_at_random(
    engines: list[Engine], writers: list[Writer], kills: int, chance: random.Random, tally: FleetTally, *, quiet: bool
) -> None:
    """Kill one of the engines, and start it again while the others serve; then wait until something was stored."""
    for number in range(kills):
        time.sleep(chance.uniform(EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS))
        engine = chance.choice(engines)
        engine.kill()
        tally.kills += 1
        wait_until_stored(writers)
        engine.start()
        engine.wait_until_ready()
        if not quiet:
            print(f"kill {number + 1}: engine {engines.index(engine) + 1}, {stored(writers)} acknowledged", flush=True)


def upgrade(engines: list[Engine], writers: list[Writer], newer: Path, tally: FleetTally, *, quiet: bool) -> None:
    """Replace one engine after the other by the newer build; an older one is also started on the newer schema."""
    before = stored(writers)
    for engine in engines:
        engine.stop()
        engine.build = newer
        engine.start()
        engine.wait_until_ready()
        tally.upgraded += 1
        wait_until_stored(writers)
        if engine is engines[0]:
            engines[1].kill()
            engines[1].start()
            engines[1].wait_until_ready()
            tally.restarts_on_newer_schema += 1
            wait_until_stored(writers)
        if not quiet:
            print(f"engine {engines.index(engine) + 1} upgraded: {stored(writers)} acknowledged", flush=True)
    tally.during_upgrade = stored(writers) - before


def stored(writers: list[Writer]) -> int:
    return sum(len(writer.ids) for writer in writers)


def wait_until_stored(writers: list[Writer]) -> None:
    """Wait until each client has stored another memory."""
    before, deadline = [len(writer.ids) for writer in writers], time.monotonic() + STUCK_SECONDS
    while any(len(writer.ids) == count for writer, count in zip(writers, before, strict=True)):
        if time.monotonic() > deadline or any(writer.failure for writer in writers):
            raise SystemExit(f"a client was no longer served: {[writer.failure for writer in writers]}")
        time.sleep(0.005)


def count(engines: list[Engine], writers: list[Writer], tally: FleetTally) -> None:
    """Read each acknowledged memory at the first engine, and add up the clients' figures."""
    ids = {stored: number for writer in writers for number, stored in writer.ids.items()}
    client = HttpClient(lambda: [engines[0].url], TOKEN)
    listed = list(ids)
    for page in (listed[start : start + PAGE] for start in range(0, len(listed), PAGE)):
        answer = client.call("query_memory", memory_ids=page)
        contents = {found["memory_id"]: found["content"] for found in answer["memories"]}
        tally.lost += sum(contents.get(one) != memory(ids[one]) for one in page)
    total = client.call("query_memory", limit=1)["total"]
    tally.acknowledged = len(ids)
    # A store whose answer never came may have been carried out: at most one for each client.
    tally.duplicates = max(0, total - len(ids) - CLIENTS) + sum(len(w.ids) for w in writers) - len(ids)
    tally.retried = dict(sum((writer.client.retried for writer in writers), Counter[str]()))
    tally.shown = [text for writer in writers for text in writer.shown]
    tally.failed_clients = [writer.failure for writer in writers if writer.failure is not None]
    tally.longest_gap = max(writer.longest_gap for writer in writers)
    for one in (client, *(writer.client for writer in writers)):
        one.close()


def report(tally: FleetTally, kills: int) -> None:
    rows = (
        ("kills of an engine", tally.kills),
        ("engines upgraded under load", tally.upgraded),
        ("older engines started on the newer schema", tally.restarts_on_newer_schema),
        ("acknowledged", tally.acknowledged),
        ("of these during the upgrade", tally.during_upgrade),
        ("lost", tally.lost),
        ("duplicates", tally.duplicates),
        ("calls repeated, by reason", tally.retried or "none"),
        ("errors that a client would show", tally.shown[:5] or "none"),
        ("clients that failed", tally.failed_clients or "none"),
        ("longest wait of a client for a memory", f"{tally.longest_gap:.2f} s"),
    )
    for name, value in rows:
        print(f"{name:45} {value}")
    kept = tally.kills == kills and not tally.lost and not tally.duplicates
    print(verdict(f"{kills} kills of either engine, no acknowledged memory lost", met=kept))
    quiet = not tally.shown and not tally.failed_clients
    print(verdict("no error that a client would show, also during the upgrade", met=quiet))


if __name__ == "__main__":
    main()
