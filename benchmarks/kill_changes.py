"""Kills the engine with SIGKILL repeatedly while clients store, correct, forget and erase memories.

As in `kill_engine.py`, each client keeps one bridge and repeats a call that failed. At the end the record is read: each
acknowledged change must be there, and no memory may be in a state that its history does not end with.

    python benchmarks/kill_changes.py --rounds 50
"""

import argparse
import itertools
import json
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from uuid import UUID

import anyio
from figures import verdict
from kill_engine import PAUSE_SECONDS, WRITERS, EngineKillTally, Writer, storm
from latency_homes import ROOT, version
from line_client import LineClient, ToolFailed, stop_engine
from sample_memories import memory

from memos_mcp.postgres.connection import Row
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres

State: TypeAlias = Literal["live", "superseded", "forgotten", "erased"]

LAST_EVENTS: Mapping[State, Sequence[str]] = {
    "live": ("stored", "merged", "updated", "restored"),
    "superseded": ("superseded",),
    "forgotten": ("forgotten",),
    "erased": ("erased",),
}

_RECORD = """
    SELECT id, content, tags, version, CASE WHEN superseded_by IS NULL THEN 'live' ELSE 'superseded' END AS state
      FROM agent_memories
     UNION ALL
    SELECT id, stored ->> 'content', ARRAY(SELECT jsonb_array_elements_text(stored -> 'tags')), 0, 'forgotten'
      FROM forgotten_memories
"""
_EVENTS = "SELECT memory_id, event, former FROM memory_events ORDER BY sequence"


@dataclass(slots=True)
class Expected:
    """What a client knows of a memory by the answers it got."""

    content: str
    tags: set[str]
    state: State = "live"


@dataclass(slots=True)
class Findings:
    """What is wrong in the record, by memory."""

    lost: list[UUID] = field(default_factory=list)
    half: list[UUID] = field(default_factory=list)
    history: list[UUID] = field(default_factory=list)


class Changer(Writer):
    """A client that changes its own memories at random until it is stopped."""

    def __init__(self, number: int, client: LineClient, chance: random.Random) -> None:
        super().__init__(number, client)
        self.expected: dict[UUID, Expected] = {}
        self.changes: Counter[str] = Counter()
        self._chance = chance
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        self._stop = stop
        try:
            self.client.initialize()
            for number in itertools.count(self._number, WRITERS):
                if not self._add(number):
                    return
                self._change(number)
        except Exception as error:  # noqa: BLE001  # any failure of a client is counted
            self.failure = repr(error)

    def _add(self, number: int) -> bool:
        stored = self._call("store_memory", content=memory(number), **self._session)
        if stored is not None:
            self.ids[number] = stored["memory_id"]
            self.searchable += stored["indexed"]
            self.expected[UUID(stored["memory_id"])] = Expected(memory(number), set())
        return stored is not None

    def _change(self, number: int) -> None:
        live = [memory_id for memory_id, one in self.expected.items() if one.state == "live"]
        chosen = self._chance.choice(live)
        one = self.expected[chosen]
        match self._chance.choice(["label", "label", "correct", "forget", "erase"]):
            case "label":
                if self._call("update_memory", memory_id=str(chosen), tags=[f"tag {number}"]):
                    one.tags.add(f"tag {number}")
            case "correct":
                content = f"{one.content} Corrected {number}."
                if answer := self._call("update_memory", memory_id=str(chosen), content=content):
                    one.state = "superseded"
                    self.expected[UUID(answer["memory_id"])] = Expected(content, set(one.tags))
            case "forget" | "erase" as kind:
                if self._call("forget_memory", memory_ids=[str(chosen)], erase=kind == "erase"):
                    one.state = "forgotten" if kind == "forget" else "erased"

    def _call(self, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """Call until it is acknowledged; return None when the run ends before."""
        while not self._stop.is_set():
            try:
                answer = self.client.call(tool, **arguments)
            except ToolFailed as error:
                self._count_error(error)
            else:
                self.changes[tool] += 1
                return answer
            time.sleep(PAUSE_SECONDS)
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    chance, tally, stop = random.Random(arguments.seed), EngineKillTally(), threading.Event()
    with tempfile.TemporaryDirectory(prefix="memos-kill-") as folder:
        home = Path(folder)
        changers = [
            Changer(number, LineClient(home, stderr=subprocess.DEVNULL), random.Random(number))
            for number in range(WRITERS)
        ]
        threads = [threading.Thread(target=changer.run, args=(stop,)) for changer in changers]
        for thread in threads:
            thread.start()
        try:
            storm(home, list(changers), arguments.rounds, chance, tally, quiet=arguments.json)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            for changer in changers:
                changer.client.kill()
            stop_engine(home)
        findings = anyio.run(check, home, changers)
        out_of_sync = version("this version", ROOT).doctor(home)["out_of_sync"]
    figures = {
        "kills": tally.kills,
        "acknowledged": dict(sum((changer.changes for changer in changers), Counter[str]())),
        "uncertain calls, repeated": sum(changer.uncertain for changer in changers),
        "calls answered with another error": dict(sum((changer.other_errors for changer in changers), Counter[str]())),
        "clients that failed": [changer.failure for changer in changers if changer.failure is not None],
        "acknowledged changes that are not there": [str(memory_id) for memory_id in findings.lost],
        "memories whose version its events do not explain": [str(memory_id) for memory_id in findings.half],
        "memories whose history is not theirs": [str(memory_id) for memory_id in findings.history],
        "out of sync with the record": out_of_sync,
    }
    if arguments.json:
        print(json.dumps(figures))
    else:
        report(figures, arguments.rounds)


async def check(home: Path, changers: Sequence[Changer]) -> Findings:
    """Compare the record with what the clients know, and each memory's state with its history."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.everything.connection() as connection:
            rows = {row["id"]: row for row in await connection.fetch(_RECORD)}
            events: dict[UUID, list[Row]] = {}
            for event in await connection.fetch(_EVENTS):
                events.setdefault(event["memory_id"], []).append(event)
    finally:
        await database.close()
    expected = {memory_id: one for changer in changers for memory_id, one in changer.expected.items()}
    # The earlier versions of what was forgotten or erased have followed it, and a call may have been carried out last.
    lost = [memory_id for memory_id, one in expected.items() if not _kept(one, rows.get(memory_id))]
    half = [
        memory_id
        for memory_id, row in rows.items()
        if row["state"] in ("live", "superseded") and row["version"] != 1 + _counted(events.get(memory_id, []))
    ]
    known = rows.keys() | events.keys()
    wrong = [memory_id for memory_id in known if not _agrees(rows.get(memory_id), events.get(memory_id, []))]
    return Findings(lost, half, wrong)


def _kept(one: Expected, row: Row | None) -> bool:
    if row is None:
        return one.state in ("erased", "superseded")
    return row["content"] == one.content and one.tags <= set(row["tags"]) and one.state != "erased"


def _counted(events: Sequence[Row]) -> int:
    return sum(event["event"] in ("merged", "updated", "superseded") for event in events)


def _agrees(row: Row | None, events: Sequence[Row]) -> bool:
    """Whether the history begins with the store, ends with the state, and keeps nothing of an erased memory."""
    state: State = "erased" if row is None else row["state"]
    if state == "erased" and any(event["former"] for event in events):
        return False
    return bool(events) and events[0]["event"] == "stored" and events[-1]["event"] in LAST_EVENTS[state]


def report(figures: Mapping[str, Any], rounds: int) -> None:
    for name, value in figures.items():
        print(f"{name:50} {value or 'none'}")
    harm = ("clients that failed", "acknowledged changes that are not there")
    half = figures["memories whose version its events do not explain"]
    whole = figures["kills"] == rounds and not half and not any(figures[name] for name in harm)
    print(verdict(f"{rounds} kills: each change is done or not done, none is lost", met=whole))
    print(verdict("the history of each memory is complete", met=not figures["memories whose history is not theirs"]))
    print(verdict("every point has the state of the record", met=not figures["out of sync with the record"]))


if __name__ == "__main__":
    main()
