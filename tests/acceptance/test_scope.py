"""A namespace is isolated: clients of other namespaces cannot read or change it, not even with its ids."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.raw_clients import HttpRawClient, RawClient, StdioRawClient, refused, tool_arguments
from tests.acceptance.servers import Server
from tests.cli.user_terminal import in_pipe, user_of
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

SECRET = "The vault opens with the word heliotrope."


async def test_another_namespace_on_the_same_home_sees_and_changes_nothing(
    tmp_path: Path, home_template: Path, walled_settings: Callable[[], dict[str, str]]
) -> None:
    home, shared = copy_home(home_template, tmp_path / "home"), walled_settings() | {"MEMOS_AGENT_ID": "alice"}
    first = Server(home, settings={"MEMOS_NAMESPACE": "first", **shared})
    second = Server(home, settings={"MEMOS_NAMESPACE": "second", **shared})
    try:
        client = await StdioRawClient(first).open()
        ids = await _fill(client)
        page = (await client.call("query_memory", {"limit": 1})).data
        searched = (await client.call("query_memory", {"query": "vault", "limit": 1})).data
        assert (page["total"], searched["degraded"]) == (3, None)
        _write_loadouts(home / "loadouts", ids[0])
        packed = (await client.call("build_loadout", {"task": "open the vault", "name": "vault"})).data
        assert [item["reason"] for kind in ("memories", "tools") for item in packed[kind]][:1] == ["pinned"]
        cursors = [({}, page["next_cursor"]), ({"query": "vault"}, searched["next_cursor"])]

        await _assert_isolated(await StdioRawClient(second).open(), ids, cursors)
        third = Server(home, ("serve", "--port", "0"), {"MEMOS_NAMESPACE": "third", **shared})
        assert third.url
        create = ["token", "create", "--namespace", "fourth", "--agent", "alice"]
        token = in_pipe(user_of(home) | shared, create).stdout.strip()
        for http in (HttpRawClient(third), HttpRawClient(third, token)):
            await _assert_isolated(http, ids, cursors)
            await http.close()

        rows = await first.rows("SELECT id, superseded_by FROM agent_memories WHERE namespace = 'first'")
        assert {str(row["id"]): row["superseded_by"] for row in rows} == dict.fromkeys(ids)
        rows = await first.rows("SELECT name FROM registered_tools WHERE namespace = 'first'")
        assert [row["name"] for row in rows] == ["Vault opener"]
        # Another engine has replaced its engine in the meantime.
        assert (await client.call("query_memory", {})).data["total"] == 3
        second.leave()
        third.leave()
    finally:
        first.stop()


async def _assert_isolated(
    client: RawClient, ids: Sequence[str], cursors: Sequence[tuple[dict[str, Any], str]]
) -> None:
    await _assert_sees_nothing(client)
    for question, cursor in cursors:
        assert cursor is not None
        assert "cursor" in await refused(client, "query_memory", {**question, "cursor": cursor})
    for memory_id in ids:
        reason = await refused(client, "store_memory", {"content": "mine now", "supersedes": memory_id})
        assert "No memory" in reason or "supersedes" in reason
    await _assert_has_its_own(client)


async def _fill(client: RawClient) -> list[str]:
    ids = []
    for content in (SECRET, "Alice owns the vault.", "The vault is in the cellar."):
        stored = (await client.call("store_memory", {"content": content, "tags": ["vault"], "session_id": "s"})).data
        assert (stored["namespace"], stored["agent_id"]) == ("first", "alice")
        ids.append(stored["memory_id"])
    tool = tool_arguments(tool_id="vault-opener", name="Vault opener", required_capabilities=["vault"])
    assert (await client.call("register_tool", tool)).data["outcome"] == "created"
    return ids


def _write_loadouts(folder: Path, memory_id: str) -> None:
    """Write three loadouts: one for the first namespace, one that nobody may use, one whose pins are not visible."""
    pins = f'[memories]\npinned = ["{memory_id}"]\n[tools]\npinned = ["vault-opener"]\n'
    folder.mkdir()
    (folder / "vault.toml").write_text('for = ["first"]\n' + pins)
    (folder / "wide.toml").write_text('namespaces = ["first"]\n' + pins)
    (folder / "pins.toml").write_text(pins)


async def _assert_sees_nothing(client: RawClient) -> None:
    questions: list[dict[str, Any]] = [
        {},
        {"query": SECRET},
        {"query": "vault", "limit": 100},
        {"agent_id": "alice"},
        {"session_id": "s"},
        {"tags": ["vault"]},
        {"query": "vault", "agent_id": "alice", "tags": ["vault"], "session_id": "s"},
    ]
    for question in questions:
        found = (await client.call("query_memory", question)).data
        assert (found["memories"], found["total"], found["next_cursor"]) == ([], 0, None)
    needs: list[dict[str, Any]] = [
        {},
        {"query": "vault-opener"},
        {"query": "Vault opener", "detail": "full"},
        {"agent_capabilities": []},
    ]
    for need in needs:
        answer = (await client.call("discover_tools", need)).data
        assert (answer["tools"], answer["total"], answer["withheld"]) == ([], 0, 0)
    for name in ("vault", "wide"):
        assert "For it there are: pins." in await refused(client, "build_loadout", {"task": SECRET, "name": name})
    for loadout in ({"task": SECRET}, {"task": "x", "needs": ["vault-opener", "first"]}, {"task": "x", "name": "pins"}):
        packed = (await client.call("build_loadout", loadout)).data
        assert (packed["memories"], packed["tools"]) == ([], [])


async def _assert_has_its_own(client: RawClient) -> None:
    """Check that the same content and the same tool_id are new in this namespace."""
    assert (await client.call("store_memory", {"content": SECRET, "session_id": "s"})).data["created"]
    tool = tool_arguments(tool_id="vault-opener", name="Another one")
    assert (await client.call("register_tool", tool)).data["outcome"] == "created"
    for name in ("query_memory", "store_memory", "register_tool", "discover_tools", "build_loadout"):
        assert "Unknown argument 'namespace'" in await refused(client, name, {"namespace": "first"})
