"""Kills `memos-as --in-process` with SIGKILL repeatedly while 16 writers store; counts lost and duplicate memories.

Each round pipelines stores, kills the server at a random moment after the first answer, starts it again, and searches
for every acknowledged memory in its own words. The time of the last find includes the start of the process and one
query for each memory of the round. At the end every content is stored once more, acknowledged or not, and all rows are
listed.

    python benchmarks/kill_nine.py --rounds 30
"""

import argparse
import json
import random
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from line_client import IN_PROCESS, LineClient, processes_of
from sample_memories import list_all

WRITERS = 16
STORES_A_ROUND = 2_000
EARLIEST_KILL_SECONDS = 0.05
LATEST_KILL_SECONDS = 1.0
FIND_SECONDS = 5.0
GIVE_UP_SECONDS = 30.0
CHILD_SECONDS = 5.0

WHO = ("Mara", "Jonas", "the night shift", "Priya", "the auditor", "Oluwaseun", "the plumber", "Ines")
DID = ("moved", "repaired", "forgot", "ordered", "painted", "returned", "measured", "sold")
WHAT = ("the blue kettle", "a crate of lemons", "the spare key", "an invoice", "the projector", "two bicycles")


@dataclass(slots=True)
class KillTally:
    """The figures of a run. `late`: found more than 5 s after the restart; `slowest_find`: seconds from the launch."""

    rounds: int = 0
    sent: int = 0
    acknowledged: int = 0
    lost: int = 0
    late: int = 0
    duplicates: int = 0
    stored_again: int = 0
    torn: int = 0
    orphaned_index_processes: int = 0
    slowest_find: float = 0.0
    slowest_initialize: float = 0.0
    postgres_survived: int = 0
    still_running: list[str] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memos-kill-") as folder:
        tally = run(Path(folder), arguments.rounds, random.Random(arguments.seed), quiet=arguments.json)
    print(json.dumps(asdict(tally)) if arguments.json else table(tally))


def run(home: Path, rounds: int, chance: random.Random, *, quiet: bool) -> KillTally:
    """Run the rounds on this home; return the figures."""
    tally, acknowledged, sent = KillTally(), dict[str, str](), list[str]()
    client = LineClient(home, command=IN_PROCESS)
    client.initialize()
    try:
        client.call("store_memory", content="The first memory, so that the server is warm in the first round.")
        for number in range(rounds):
            contents = [sentence(number, index, chance) for index in range(STORES_A_ROUND)]
            attempted, fresh = storm(client, contents, chance.uniform(EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS))
            sent += attempted
            acknowledged |= fresh
            count_orphans(home, tally)
            client = LineClient(home, command=IN_PROCESS)
            client.initialize()
            tally.slowest_initialize = max(tally.slowest_initialize, time.perf_counter() - client.launched)
            slowest = find_all(client, fresh, tally)
            tally.rounds += 1
            if not quiet:
                print(f"round {number + 1}: {len(fresh)} acknowledged, the last found {slowest:.1f} s after the launch")
        tally.sent, tally.acknowledged = len(sent), len(acknowledged)
        store_again(client, sent, acknowledged, tally)
        count_rows(client, sent, acknowledged, tally)
        client.close()
    finally:
        if client.process.poll() is None:
            client.kill()
    tally.still_running = sorted(processes_of(home).values())
    return tally


def storm(client: LineClient, contents: list[str], seconds: float) -> tuple[list[str], dict[str, str]]:
    """Store with 16 calls in flight until the server is killed; return the contents sent, and the ids acknowledged."""
    answered: dict[str, str] = {}
    for index, stored in client.call_all("store_memory", [{"content": text} for text in contents], in_flight=WRITERS):
        if not answered:
            threading.Timer(seconds, client.process.kill).start()
        answered[contents[index]] = stored["memory_id"]
    client.kill()
    # At most 16 calls were in flight at the kill; the contents after them were never sent.
    return contents[: len(answered) + WRITERS], answered


def count_orphans(home: Path, tally: KillTally) -> None:
    """Count index processes that outlive their engine, and rounds in which Postgres does, as it should."""
    deadline = time.monotonic() + CHILD_SECONDS
    while orphans := [line for line in processes_of(home).values() if "memos_mcp" in line]:
        if time.monotonic() > deadline:
            tally.orphaned_index_processes += len(orphans)
            break
        time.sleep(0.02)
    tally.postgres_survived += any("postgres" in line for line in processes_of(home).values())


def find_all(client: LineClient, acknowledged: dict[str, str], tally: KillTally) -> float:
    """Search for each memory until it is the first answer; return the seconds from the launch to the last one."""
    missing, slowest = dict(acknowledged), 0.0
    while missing and time.perf_counter() - client.launched < GIVE_UP_SECONDS:
        asked = list(missing)
        for index, answer in client.call_all("query_memory", [{"query": text, "limit": 1} for text in asked]):
            if [hit["memory_id"] for hit in answer["memories"]] == [missing[asked[index]]]:
                del missing[asked[index]]
                slowest = time.perf_counter() - client.launched
                tally.late += slowest > FIND_SECONDS
    tally.lost += len(missing)
    tally.slowest_find = max(tally.slowest_find, slowest)
    return slowest


def store_again(client: LineClient, sent: list[str], acknowledged: dict[str, str], tally: KillTally) -> None:
    """Store everything again; an acknowledged content must be there already, under its own id."""
    for index, stored in client.call_all("store_memory", [{"content": text} for text in sent]):
        known = acknowledged.get(sent[index])
        tally.stored_again += known is not None and (stored["created"] or stored["memory_id"] != known)


def count_rows(client: LineClient, sent: list[str], acknowledged: dict[str, str], tally: KillTally) -> None:
    """List all rows; count duplicate contents, and rows whose content was never sent."""
    listed, total = list_all(client)
    rows = Counter(listed.values())
    tally.duplicates = sum(count - 1 for count in rows.values()) + abs(total - rows.total())
    tally.torn = len(rows.keys() - set(sent)) - 1
    tally.lost += len(acknowledged.keys() - rows.keys())


def sentence(number: int, index: int, chance: random.Random) -> str:
    """Return a content that is unique to the call and can be found by its words."""
    return f"{chance.choice(WHO)} {chance.choice(DID)} {chance.choice(WHAT)}, ticket r{number}x{index}."


def table(tally: KillTally) -> str:
    rows = (
        ("rounds", tally.rounds),
        ("sent", tally.sent),
        ("acknowledged", tally.acknowledged),
        ("lost", tally.lost),
        ("duplicates", tally.duplicates),
        ("acknowledged, then created again", tally.stored_again),
        ("rows with a content never sent", tally.torn),
        (f"found later than {FIND_SECONDS:g} s after the restart", tally.late),
        ("slowest find after the restart", f"{tally.slowest_find:.2f} s"),
        ("slowest initialize after the restart", f"{tally.slowest_initialize:.2f} s"),
        ("index processes that outlived the server", tally.orphaned_index_processes),
        ("rounds in which Postgres outlived the server", tally.postgres_survived),
        ("still running at the end", tally.still_running or "nothing"),
    )
    return "\n".join(f"{name:45} {value}" for name, value in rows)


if __name__ == "__main__":
    main()
