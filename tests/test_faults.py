"""Clients and engines that are killed or started all at once: nothing is lost, and no process or file remains."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from memos_mcp.engine.control import ask
from memos_mcp.ipc.run_dir import RunDir
from memos_mcp.postgres.connection import UNAVAILABLE
from tests.acceptance.raw_clients import StdioRawClient, stored, until
from tests.acceptance.servers import Server
from tests.postgres.frozen import frozen

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

BRIDGES = 20
LEAVE_SECONDS = 5.0
"""On an idle machine, a bridge exits less than a second after its client."""

FROZEN_SECONDS = 5.0
KEY = {"content": "The key is under the mat."}
FROZEN_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("store_memory", KEY),
    ("query_memory", {"query": "key"}),
    ("query_memory", {}),
    ("discover_tools", {"query": "key"}),
    ("store_memory", KEY),
]


@pytest.mark.parametrize("rounds", [1, pytest.param(100, marks=pytest.mark.slow)])
def test_clients_continue_when_their_engine_is_killed_and_nothing_acknowledged_is_lost(rounds: int) -> None:
    figures = benchmark("kill_engine", "--rounds", rounds)
    assert figures["kills"] == rounds
    assert figures["acknowledged"] > 0
    assert figures["engines_at_the_end"] == 1
    harm = (
        "lost",
        "not_found",
        "duplicates",
        "failed_writers",
        "orphaned_index_processes",
        "still_running",
        "strays_in_run",
    )
    assert {name: figures[name] for name in harm if figures[name]} == {}


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [50])
def test_a_change_is_done_or_not_done_when_the_engine_is_killed_and_its_history_is_complete(rounds: int) -> None:
    figures = benchmark("kill_changes", "--rounds", rounds)
    assert figures.pop("kills") == rounds
    acknowledged = figures.pop("acknowledged")
    assert min(acknowledged[tool] for tool in ("store_memory", "update_memory", "forget_memory")) > 0
    figures.pop("uncertain calls, repeated")
    assert {name: wrong for name, wrong in figures.items() if wrong} == {}


@pytest.mark.parametrize("clients", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_clients_leave_no_bridge_and_no_file_and_their_engine_keeps_serving(clients: int) -> None:
    figures = benchmark("client_churn", "--clients", clients)
    assert figures["kills"] == clients
    assert figures["slowest_to_leave"] < LEAVE_SECONDS
    assert figures["engines_at_the_end"] == 1
    assert figures["served_by_the_same"]
    harm = ("remaining_bridges", "strays", "still_running", "strays_after_stop")
    assert {name: figures[name] for name in harm if figures[name]} == {}


@pytest.mark.parametrize("memories", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_memories_stored_by_eight_clients_at_once_are_stored_once_and_found(memories: int) -> None:
    figures = benchmark("engine_writers", "--bridges", 8, "--memories", memories)
    assert figures["acknowledged"] == figures["listed"] == 8 * memories
    assert figures["duplicates"] == 0
    assert figures["not_found"] == []


@pytest.mark.anyio
@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.slow)])
async def test_bridges_launched_at_once_on_a_new_home_start_one_engine_that_answers_all(
    tmp_path: Path, times: int
) -> None:
    for number in range(times):
        home = tmp_path / f"home-{number}"
        servers = [Server(home) for _ in range(BRIDGES)]
        try:
            async with anyio.create_task_group() as tasks:
                for server in servers:
                    tasks.start_soon(StdioRawClient(server).open)
            payload = await ask(RunDir(str(home)), "status") or {}
            assert (payload["pid"], payload["clients"]) == (servers[0].engine, BRIDGES)
            for server in servers[1:]:
                server.leave()
            servers[0].stop()
            log = (home / "logs" / "engine.log").read_text()
            assert len(re.findall(rf"serves {re.escape(str(home))}$", log, re.MULTILINE)) == 1
            assert "Traceback" not in servers[0].log
        finally:
            for server in servers:
                server.kill()


def benchmark(name: str, *arguments: object) -> dict[str, Any]:
    """Run a benchmark; return its figures."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=900)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@pytest.mark.slow
@pytest.mark.anyio
async def test_clients_of_a_frozen_postgres_get_an_error_within_five_seconds_and_store_nothing_twice(
    tmp_path: Path,
) -> None:
    server = Server(tmp_path / "home")
    try:
        client = await StdioRawClient(server).open()
        await stored(client, content="The kettle is new.")
        with frozen(tmp_path / "home" / "postgres" / "data"):
            for tool, arguments in FROZEN_CALLS:
                with anyio.fail_after(FROZEN_SECONDS):
                    assert (await client.call(tool, arguments)).refusal == UNAVAILABLE

        async def stores_again() -> bool:
            return not (await client.call("store_memory", KEY)).message["result"].get("isError")

        await until(stores_again)
        assert not (await client.call("store_memory", KEY)).data["created"]
        assert len(await server.rows("SELECT FROM agent_memories")) == 2
        server.stop()
    finally:
        server.kill()
