"""Subscriptions to resources, on a real record and index, in both eras of the protocol."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from mcp import Client, MCPError, types
from mcp.server.session import ServerSession

from memos_mcp.app import App, compose, running
from memos_mcp.domain.scope import Scope
from memos_mcp.mcp_server import subscriptions
from memos_mcp.mcp_server.server import build_server
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services import loadout_watches
from memos_mcp.services.indexed_versions import IndexedVersions
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder

pytestmark = [
    pytest.mark.anyio,
    # older clients still send these requests
    pytest.mark.filterwarnings("ignore:resources/(un)?subscribe is removed:mcp.MCPDeprecationWarning"),
]

ANN, BOB = Scope("ann", "agent"), Scope("bob", "agent")
SECONDS = 30


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[App]:
    index = EdgeIndex(tmp_path / "index", hnsw_threshold=1_000)
    with anyio.fail_after(2 * SECONDS):
        async with running(
            compose(Settings(home=tmp_path, loadouts=tmp_path / "loadouts"), database, index, HashEmbedder())
        ) as app:
            yield app


class Session:
    """A client of an older protocol, and the URIs that it is notified of."""

    def __init__(self, app: App, scope: Scope) -> None:
        self._updated = list[str]()
        self.client = Client(build_server(app, scope), mode="legacy", message_handler=self._receive)

    async def _receive(self, message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self._updated.append(str(message.params.uri))

    async def updated(self) -> str:
        """Return the next URI."""
        with anyio.fail_after(SECONDS):
            while not self._updated:
                await anyio.lowlevel.checkpoint()
        return self._updated.pop(0)


async def called(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    result: dict[str, Any] = answer.structured_content
    return result


async def store(client: Client, content: str) -> str:
    return str((await called(client, "store_memory", content=content))["memory_id"])


async def register(client: Client, description: str) -> None:
    endpoint = "https://example.org/search"
    await called(
        client, "register_tool", tool_id="web.search", name="search", description=description, endpoint_url=endpoint
    )


async def test_a_stream_has_the_changes_of_its_memories_and_of_no_others(app: App) -> None:
    async with Client(build_server(app, ANN)) as client:
        heron, otter = await store(client, "The heron nests."), await store(client, "The otter swims.")
        uri = f"memos://memories/{heron}"
        with anyio.fail_after(SECONDS):
            async with client.listen(resource_subscriptions=[uri]) as stream:
                assert stream.honored.resource_subscriptions == [uri]
                await called(client, "update_memory", memory_id=otter, tags=["fish"])
                await called(client, "update_memory", memory_id=heron, tags=["bird"])
                assert (await anext(stream)).uri == uri  # type: ignore[union-attr]  # the only kind of event
                await called(client, "forget_memory", memory_ids=[heron])
                assert (await anext(stream)).uri == uri  # type: ignore[union-attr]  # the only kind of event
    assert not app.indexer.indexed_versions._watches


async def test_a_session_of_an_older_client_is_notified_of_changes_until_it_unsubscribes(app: App) -> None:
    session = Session(app, ANN)
    async with session.client as client:
        await register(client, "Searches.")
        heron = await store(client, "The heron nests.")
        of_tool, of_heron = "memos://tools/web.search", f"memos://memories/{heron}"
        for uri in (of_tool, of_heron, of_heron):
            await client.session.subscribe_resource(uri)
        await register(client, "Searches the web.")
        assert await session.updated() == of_tool
        await called(client, "update_memory", memory_id=heron, tags=["bird"])
        assert await session.updated() == of_heron
        for _ in range(2):
            await client.session.unsubscribe_resource(of_tool)
        await called(client, "unregister_tool", tool_id="web.search")
        await called(client, "update_memory", memory_id=heron, tags=["tall"])
        assert await session.updated() == of_heron
    assert not app.indexer.indexed_versions._watches


async def test_a_subscription_that_could_not_notify_its_session_can_be_made_again(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = anyio.Event()

    async def fail(_session: ServerSession, _uri: str) -> None:
        failed.set()
        raise anyio.ClosedResourceError

    session = Session(app, ANN)
    async with session.client as client:
        heron = await store(client, "The heron nests.")
        uri = f"memos://memories/{heron}"
        with monkeypatch.context() as patch:
            patch.setattr(ServerSession, "send_resource_updated", fail)
            await client.session.subscribe_resource(uri)
            await called(client, "update_memory", memory_id=heron, tags=["bird"])
            with anyio.fail_after(SECONDS):
                await failed.wait()
        await client.session.subscribe_resource(uri)
        await called(client, "update_memory", memory_id=heron, tags=["tall"])
        assert await session.updated() == uri


async def test_a_subscription_that_failed_to_begin_can_be_made_again(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_versions: IndexedVersions, *_item: object) -> None:
        raise MCPError(types.INTERNAL_ERROR, "no")

    session = Session(app, ANN)
    async with session.client as client:
        heron = await store(client, "The heron nests.")
        uri = f"memos://memories/{heron}"
        with monkeypatch.context() as patch:
            patch.setattr(IndexedVersions, "watch", fail)
            with pytest.raises(MCPError):
                await client.session.subscribe_resource(uri)
        await client.session.subscribe_resource(uri)
        await called(client, "update_memory", memory_id=heron, tags=["bird"])
        assert await session.updated() == uri


async def test_a_memory_of_another_namespace_cannot_be_subscribed_to(app: App) -> None:
    async with Client(build_server(app, ANN)) as client:
        uri = f"memos://memories/{await store(client, 'The heron nests.')}"
    async with Client(build_server(app, BOB)) as client:
        with anyio.fail_after(SECONDS):
            async with client.listen(resource_subscriptions=[uri]) as stream:
                assert stream.honored.resource_subscriptions in (None, [])
    async with Session(app, BOB).client as client:
        with pytest.raises(MCPError, match="There is no such resource"):
            await client.session.subscribe_resource(uri)


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_subscriptions_are_declared_and_changes_of_lists_are_not(app: App, era: Any) -> None:
    async with Client(build_server(app, ANN), mode=era) as client:
        declared = client.server_capabilities
    assert (declared.resources.subscribe, declared.resources.list_changed) == (True, False)  # type: ignore[union-attr]  # fails the test
    assert declared.tools.list_changed is declared.prompts.list_changed is False  # type: ignore[union-attr]  # fails the test


async def test_more_subscriptions_than_the_most_are_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "MAX_SUBSCRIPTIONS", 1)
    async with Session(app, ANN).client as client:
        heron, otter = await store(client, "The heron nests."), await store(client, "The otter swims.")
        await client.session.subscribe_resource(f"memos://memories/{heron}")
        with pytest.raises(MCPError, match=r"1 subscriptions, the most that it can\. Unsubscribe from one"):
            await client.session.subscribe_resource(f"memos://memories/{otter}")


def write(app: App, name: str, text: str) -> str:
    """Replace the file of a loadout in one step, as it may be read at any moment; return the loadout's URI."""
    folder = app.settings.loadouts
    folder.mkdir(exist_ok=True)
    new = folder / "new"
    new.write_text(text)
    new.replace(folder / f"{name}.toml")
    return f"memos://loadouts/{name}"


async def test_streams_have_the_changes_of_a_loadout_that_they_share(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loadout_watches, "POLL_SECONDS", 0.01)
    uri = write(app, "staging", "role = 'Deploys.'")
    async with Client(build_server(app, ANN)) as ann, Client(build_server(app, ANN)) as ben:
        with anyio.fail_after(SECONDS):
            async with ann.listen(resource_subscriptions=[uri]) as of_ann:
                assert of_ann.honored.resource_subscriptions == [uri]
                async with ben.listen(resource_subscriptions=[uri]) as of_ben:
                    write(app, "staging", "role = 'Deploys with care.'")
                    assert (await anext(of_ben)).uri == uri  # type: ignore[union-attr]  # the only kind of event
                    assert (await anext(of_ann)).uri == uri  # type: ignore[union-attr]  # the only kind of event
                write(app, "staging", "role = 'Rests.'")
                assert (await anext(of_ann)).uri == uri  # type: ignore[union-attr]  # the only kind of event
    assert not app.loadouts.watches._watched


async def test_a_session_is_notified_when_a_loadout_changes_breaks_and_comes_back_but_not_of_comments(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadout_watches, "POLL_SECONDS", 0.01)
    session, other = Session(app, ANN), write(app, "other", "role = 'Waits.'")
    uri = write(app, "staging", "role = 'Deploys.'")
    async with session.client as client:
        for each in (uri, other):  # in this order they are compared
            await client.session.subscribe_resource(each)
        for text in ("role = 'Deploys with care.'", "role =", "role = 'Deploys.'"):
            write(app, "staging", text)
            assert await session.updated() == uri
        write(app, "staging", "# the same\nrole = 'Deploys.'")
        write(app, "other", "role = 'Works.'")
        assert await session.updated() == other
        await client.session.unsubscribe_resource(uri)
        write(app, "staging", "role = 'Rests.'")
        write(app, "other", "role = 'Rests.'")
        assert await session.updated() == other
    assert not app.loadouts.watches._watched


async def test_a_loadout_for_another_namespace_cannot_be_subscribed_to(app: App) -> None:
    uri = write(app, "staging", "for = ['ann']")
    async with Session(app, BOB).client as client:
        with pytest.raises(MCPError, match="No loadout 'staging' is for namespace 'bob'"):
            await client.session.subscribe_resource(uri)
