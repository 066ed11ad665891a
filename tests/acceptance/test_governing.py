"""A client stores, corrects, forgets and erases a memory, of which nothing remains in the files."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import preloaded
from tests.acceptance.raw_clients import StdioRawClient
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

SECRETS = ("quixotic", "marzipan", "zanzibar", "bergamot", "xylophone")


def files_with(word: str, home: Path) -> list[str]:
    files = [path for path in home.rglob("*") if path.is_file()]
    return [str(path.relative_to(home)) for path in files if word.encode() in path.read_bytes()]


def run(home: Path, *arguments: str) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/", "MEMOS_HOME": str(home)}
    done = preloaded.run(arguments, environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_an_erased_memory_leaves_no_word_in_the_data_folder(tmp_path: Path, home_template: Path) -> None:
    server = Server(copy_home(home_template, tmp_path / "home"))
    try:
        client = await StdioRawClient(server).open()
        for number in range(5):
            await client.call("store_memory", {"content": f"Note {number} about the garden.", "session_id": "s"})
        first = {"content": "The secret word is quixotic.", "tags": ["zanzibar"], "session_id": "s"}
        old = (await client.call("store_memory", first)).data["memory_id"]
        then = datetime.now(UTC).isoformat()
        labels = {"memory_id": old, "metadata": {"bergamot": "xylophone"}, "if_version": 1}
        assert (await client.call("update_memory", labels)).data["version"] == 2
        corrected = {"memory_id": old, "content": "The secret word is marzipan."}
        new = (await client.call("update_memory", corrected)).data["memory_id"]
        asked = {"query": "What is the secret word?", "limit": 1}
        assert (await client.call("query_memory", asked)).data["memories"][0]["memory_id"] == new
        past = (await client.call("query_memory", {**asked, "as_of": then})).data["memories"][0]
        assert (past["memory_id"], past["metadata"], past["tags"]) == (old, {}, ["zanzibar"])
        forgotten = (await client.call("forget_memory", {"memory_ids": [new]})).data
        assert (forgotten["count"], forgotten["earlier_versions"], forgotten["done"]) == (1, 1, True)
        for question in (asked, {**asked, "as_of": then}, {**asked, "include_superseded": True}):
            answer = (await client.call("query_memory", question)).data["memories"]
            assert "secret" not in answer[0]["content"]
        assert all(files_with(word, server.home) for word in ("quixotic", "zanzibar"))
        await client.call("forget_memory", {"memory_ids": [new], "erase": True})
    finally:
        server.stop()
    assert "2 since the files were last rewritten" in run(server.home, "doctor")
    run(server.home, "purge")
    assert {word: files for word in SECRETS if (files := files_with(word, server.home))} == {}
    assert "the files were rewritten since" in run(server.home, "doctor")
