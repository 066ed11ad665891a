"""The diagnosis when the doctor cannot open the index itself."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from memos_mcp import __version__
from memos_mcp.app import App, compose, running
from memos_mcp.cli.maintenance import _lines
from memos_mcp.domain.index import ITEM_KINDS, IndexReport
from memos_mcp.domain.memory import MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.engines import PostgresEngines
from memos_mcp.qdrant.server.index import ServerIndex
from memos_mcp.qdrant.server.options import ServerOptions
from memos_mcp.services import doctor
from memos_mcp.settings import Settings
from tests.fakes import DownIndex, HashEmbedder
from tests.qdrant.server.stand_in_server import StandInServer

pytestmark = pytest.mark.anyio

SCOPE = Scope("here", "tester")


async def publish(app: App, embedder: HashEmbedder, *, seconds_ago: int) -> None:
    """Leave the report of a process that holds the index and finds it as empty as the record."""
    empty = dict.fromkeys(ITEM_KINDS, 0)
    await app.engines.refresh(IndexReport("generation", await embedder.shape(), empty, empty), exclusive=True)
    async with app.database.everything.connection() as connection:
        statement = "UPDATE engines SET seen_at = now() - make_interval(secs => $1)"
        await connection.execute(statement, seconds_ago)


async def test_the_doctor_trusts_the_report_of_the_process_that_holds_the_index(
    idle_app: App, index: DownIndex, embedder: HashEmbedder
) -> None:
    index.down = True
    await publish(idle_app, embedder, seconds_ago=1)
    diagnosis = await idle_app.doctor.diagnose()
    assert diagnosis.problems == ()
    (engine,) = diagnosis.engines
    assert (engine.seen_at, engine.index) == (diagnosis.reported_at, diagnosis.index)


async def test_the_doctor_prints_each_engine_with_what_it_holds(
    idle_app: App, index: DownIndex, embedder: HashEmbedder
) -> None:
    index.down = True
    await publish(idle_app, embedder, seconds_ago=40)
    await PostgresEngines(idle_app.database, "host 2", "1.2.3", datetime.now(UTC)).refresh(None, exclusive=False)
    lines = [line for line in _lines(await idle_app.doctor.diagnose(), "18", [], []) if line.startswith("engine:")]
    assert len(lines) == 2
    assert re.fullmatch(r"engine:    host 2, version 1\.2\.3, seen \d s ago, no index open", lines[0])
    held = "generation generation with 0 memory items, 0 tool items, 0 task items, 0 points"
    assert re.fullmatch(rf"engine:    \S+ \d+, version {re.escape(__version__)}, seen 4\d s ago, {held}", lines[1])


async def test_the_doctor_does_not_take_the_report_of_an_engine_with_a_qdrant_server_for_the_embedded_index(
    idle_app: App, index: DownIndex, embedder: HashEmbedder
) -> None:
    index.down = True
    await idle_app.engines.refresh(
        IndexReport("generation", await embedder.shape(), {"memory": 0, "tool": 0}, {"memory": 0, "tool": 0}),
        exclusive=False,
    )
    diagnosis = await idle_app.doctor.diagnose()
    assert (len(diagnosis.problems), len(diagnosis.engines), diagnosis.index) == (1, 1, None)


async def test_queued_tools_do_not_hide_that_a_memory_is_missing(
    tmp_path: Path, database: Database, index: DownIndex, embedder: HashEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "REPORT_SECONDS", 0.0)
    index.down = True
    app = compose(Settings(home=tmp_path, index_wait_seconds=0), database, index, embedder)
    await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))
    async with database.everything.connection() as connection:
        await connection.execute("DELETE FROM index_queue")
    await app.tools.register(SCOPE, NewTool("mail", "Mail", "Sends mail.", "http://x"))
    await publish(app, embedder, seconds_ago=1)
    assert (await app.doctor.diagnose()).out_of_sync == 1


async def test_the_doctor_ignores_an_expired_report(idle_app: App, index: DownIndex, embedder: HashEmbedder) -> None:
    index.down = True
    await publish(idle_app, embedder, seconds_ago=3_600)
    assert len((await idle_app.doctor.diagnose()).problems) == 1


async def test_an_unreachable_qdrant_server_is_a_problem_despite_a_report(
    tmp_path: Path, database: Database, embedder: HashEmbedder, free_tcp_port: int
) -> None:
    server = ServerIndex(f"http://127.0.0.1:{free_tcp_port}", None, "memos")
    app = compose(Settings(home=tmp_path), database, server, embedder)
    await publish(app, embedder, seconds_ago=1)
    (problem,) = (await app.doctor.diagnose()).problems
    assert problem.startswith("The search index cannot be reached.")
    await app.close()


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
async def test_the_doctor_names_the_settings_that_collections_were_created_without_and_finds_no_problem(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    client = AsyncQdrantClient(":memory:")
    await ServerIndex("", None, "memos", client).open(await embedder.shape())
    server = ServerIndex("", None, "memos", client, ServerOptions(quantization="int8"))
    app = compose(Settings(home=tmp_path), database, server, embedder)
    diagnosis = await app.doctor.diagnose()
    assert diagnosis.problems == ()
    notices = [line for line in _lines(diagnosis, "18", [], []) if line.startswith("notice:")]
    assert notices == [
        f"notice:    MEMOS_QDRANT_QUANTIZATION is int8, but the index of the kind {kind} was created with none. "
        "To apply it, run: memos-as reindex --fresh"
        for kind in ITEM_KINDS
    ]
    await app.close()
    await client.close()


async def test_a_qdrant_server_that_is_too_old_degrades_answers_and_the_doctor_says_why(
    tmp_path: Path, database: Database, embedder: HashEmbedder
) -> None:
    async with StandInServer("1.16.3").serve() as address:
        app = compose(Settings(home=tmp_path), database, ServerIndex(address, None, "memos"), embedder)
        async with running(app):
            await app.memories.store(SCOPE, NewMemory("the ferry leaves at nine"))
            page = await app.memories.query(SCOPE, MemoryQuery("ferry"))
            assert len(page.hits) == 1
            (problem,) = (await app.doctor.diagnose()).problems
    reason = "The Qdrant server has version 1.16.3, but 1.19 or newer is needed."
    assert problem.startswith(reason)
    assert page.degraded is not None
    assert page.degraded.startswith(reason)
    assert page.degraded.endswith("Matched by words only.")
