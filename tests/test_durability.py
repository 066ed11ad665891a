"""Acknowledged data survives a crash, a lost index, a manual change and a second process."""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from tests import preloaded
from tests.acceptance.raw_clients import StdioRawClient, call_params, message, until
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home
from tests.server_environment import server_environment

pytestmark = pytest.mark.anyio

KILL_NINE = Path(__file__).parents[1] / "benchmarks" / "kill_nine.py"
REBUILD_SECONDS = 30

NOTES = (
    "Mara reads answers on her phone and wants them short.",
    "The staging database moved to the new cluster on Tuesday.",
    "The spare key hangs behind the barometer.",
)
TOOL = {
    "tool_id": "web.search",
    "name": "Web Search",
    "description": "Search the internet and return titles, links and snippets.",
    "endpoint_url": "https://tools.example.com/search",
}


@pytest.fixture
def home(tmp_path: Path, home_template: Path) -> Path:
    return copy_home(home_template, tmp_path / "home")


@pytest.fixture(scope="module")
async def furnished_once(tmp_path_factory: pytest.TempPathFactory, home_template: Path) -> Path:
    """A home in which the notes and the tool are stored and indexed, and on which no process runs."""
    home = copy_home(home_template, tmp_path_factory.mktemp("furnished") / "home")
    async with served(home) as client:
        for note in NOTES:
            await client.call("store_memory", {"content": note})
        await client.call("register_tool", TOOL)
        await caught_up(client)
    return home


@pytest.fixture
def furnished(tmp_path: Path, furnished_once: Path) -> Path:
    return copy_home(furnished_once, tmp_path / "home")


@pytest.mark.parametrize("rounds", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_what_was_acknowledged_survives_kill_nine_of_a_server_with_sixteen_writers(rounds: int) -> None:
    done = subprocess.run(
        [sys.executable, KILL_NINE, "--rounds", str(rounds), "--json"], stdout=subprocess.PIPE, check=True, timeout=600
    )
    figures = json.loads(done.stdout)
    assert figures["acknowledged"] > 0
    assert figures["sent"] > figures["acknowledged"]
    harm = ("lost", "duplicates", "stored_again", "torn", "orphaned_index_processes", "still_running")
    assert {name: figures[name] for name in harm if figures[name]} == {}


async def test_a_deleted_index_is_built_again_without_embedding_anything_twice(furnished: Path) -> None:
    deleted = generation(furnished)
    shutil.rmtree(furnished / "index")

    async with served(furnished) as client:
        await caught_up(client)
        for note in NOTES:
            assert await first(client, note) == note
        found = (await client.call("discover_tools", {"query": "look up something on the web"})).data
        assert [tool["tool_id"] for tool in found["tools"]] == [TOOL["tool_id"]]
        assert found["degraded"] is None
    findings = doctor(furnished)
    assert findings["problems"] == []
    assert findings["index"]["generation"] != deleted
    assert findings["computed"] == len(NOTES) + 1


async def test_a_row_changed_by_hand_while_nothing_ran_is_found_by_its_new_words(furnished: Path) -> None:
    moved, lost, deleted = NOTES
    async with database_of(furnished) as database, database.everything.connection() as connection:
        await connection.execute(
            "UPDATE agent_memories SET content = 'Mara now uses a tablet' WHERE content = $1", moved
        )
        await connection.execute("DELETE FROM agent_memories WHERE content = $1", deleted)
        await connection.execute("UPDATE agent_memories SET content = 'It moved to Lyon' WHERE content = $1", lost)
        await connection.execute("DELETE FROM index_queue")

    async with served(furnished) as client:
        await caught_up(client)
        assert await first(client, "Which device does Mara use?") == "Mara now uses a tablet"
        assert await first(client, "In which city is it?") == "It moved to Lyon"
        assert (await client.call("query_memory", {"query": deleted})).data["total"] == 2
    findings = doctor(furnished)
    assert findings["problems"] == []
    assert findings["index"]["items"]["memory"] == 2


async def test_a_fresh_generation_is_built_with_and_without_a_running_server(furnished: Path) -> None:
    async with served(furnished) as client:
        await caught_up(client)
        first_generation = generation(furnished)

        assert memos(furnished, "reindex", "--fresh").returncode == 0

        with anyio.fail_after(REBUILD_SECONDS):
            while generation(furnished) == first_generation:
                # In the moment after the swap an answer may say that it is not known yet what may be missing.
                found = (await client.call("query_memory", {"query": NOTES[0]})).data["memories"]
                assert found[0]["content"] == NOTES[0]
                await anyio.sleep(0.05)
        await caught_up(client)
        assert await first(client, NOTES[1]) == NOTES[1]
        second_generation = generation(furnished)

    rebuilt = memos(furnished, "reindex", "--fresh")
    assert rebuilt.returncode == 0
    assert f"{len(NOTES) + 1}/{len(NOTES) + 1}" in rebuilt.stderr
    assert generation(furnished) not in {first_generation, second_generation}
    findings = doctor(furnished)
    assert findings["problems"] == []
    assert findings["index"]["items"]["memory"] == len(NOTES)
    assert findings["computed"] == len(NOTES) + 1


async def test_a_second_process_stores_at_once_and_takes_over_the_index_when_the_first_exits(home: Path) -> None:
    async with served(home, "--in-process") as holder:
        await holder.call("store_memory", {"content": NOTES[0]})
        await caught_up(holder)
        second = Server(home, ("--in-process",))
        try:
            guest = await StdioRawClient(second).open()
            assert (await guest.call("store_memory", {"content": NOTES[1]})).data["created"]
            answer = (await guest.call("query_memory", {"query": "staging database"})).data
            assert [memory["content"] for memory in answer["memories"]] == [NOTES[1]]
            assert answer["degraded"] is not None
            # The first process indexes what the second one stored.
            await caught_up(holder)
            assert await first(holder, "Where did staging go?") == NOTES[1]

            await anyio.to_thread.run_sync(holder.server.leave)

            await caught_up(guest)
            assert await first(guest, "How should I write to Mara?") == NOTES[0]
        except BaseException:
            second.kill()
            raise
        second.stop()


@pytest.mark.parametrize("answers_read", [pytest.param(0, marks=pytest.mark.slow), 5])
async def test_a_client_that_disconnects_during_stores_never_causes_partial_rows(home: Path, answers_read: int) -> None:
    contents = [f"Parcel {number} waits at locker {number * 7}." for number in range(12)]
    async with served(home) as client:
        await client.call("store_memory", {"content": NOTES[0]})
        await client.write(b"".join(store_line(100 + number, text) for number, text in enumerate(contents)))
        answered = [(await client.read()).data["memory_id"] for _ in range(answers_read)]

    async with served(home) as client:
        await caught_up(client)
        rows = (await client.call("query_memory", {"limit": 100, "max_tokens": 10_000})).data["memories"]
        assert {row["content"] for row in rows} <= {NOTES[0], *contents}
        assert len({row["content"] for row in rows}) == len(rows)
        assert set(answered) <= {row["memory_id"] for row in rows}
        for row in rows:
            assert await first(client, row["content"]) == row["content"]
        again = await client.together("store_memory", [{"content": text} for text in contents])
        assert sum(answer.data["created"] for answer in again) == len(contents) + 1 - len(rows)


@asynccontextmanager
async def served(home: Path, *arguments: str) -> AsyncIterator[StdioRawClient]:
    """Lend a client on this home; afterwards stop its engine and check that it logged no traceback."""
    server = Server(home, arguments)
    try:
        yield await StdioRawClient(server).open()
    except BaseException:
        server.kill()
        raise
    if server.process.returncode is None:
        server.stop()
    assert "Traceback" not in server.log


async def caught_up(client: StdioRawClient) -> None:
    """Wait until the server searches its index and the queue is empty."""

    async def searching() -> bool:
        return (await client.call("query_memory", {"query": "anything"})).data["degraded"] is None

    async def indexed() -> bool:
        return not await client.server.rows("SELECT FROM index_queue")

    await until(searching)
    await until(indexed)


async def first(client: StdioRawClient, query: str) -> str:
    """Return the content of the best answer, which must not be a degraded one."""
    answer = (await client.call("query_memory", {"query": query})).data
    assert answer["degraded"] is None
    return str(answer["memories"][0]["content"])


@asynccontextmanager
async def database_of(home: Path) -> AsyncIterator[Database]:
    """Lend the database of a home on which no server runs."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        yield database
    finally:
        await database.close()


def generation(home: Path) -> str:
    return (home / "index" / "current").read_text().strip()


def doctor(home: Path) -> dict[str, Any]:
    """Return the findings of the command, which must agree with its exit code."""
    done = memos(home, "doctor", "--json")
    findings: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if findings["problems"] else 0)
    return findings


def memos(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line on this home."""
    return preloaded.run(arguments, server_environment(MEMOS_HOME=home), timeout=60)


def store_line(number: int, content: str) -> bytes:
    return message(number, "tools/call", call_params("store_memory", {"content": content})) + b"\n"
