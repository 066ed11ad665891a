import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError

from memos_mcp.domain.tool import ToolPage
from memos_mcp.mcp_server.server import build_server
from memos_mcp.settings import Settings
from tests.mcp_server.test_loadout_tool import OnlyLoadouts, gathered
from tests.stand_in import SCOPE, memory_hit, stand_in, tool_hit

pytestmark = pytest.mark.anyio


async def read(app: Any, uri: str) -> Any:
    async with Client(build_server(app, SCOPE)) as client:
        (content,) = (await client.read_resource(uri)).contents
    assert (content.uri, content.mime_type) == (uri, "application/json")
    return json.loads(content.text)  # type: ignore[union-attr]  # it is a text


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_the_templates_name_what_can_be_read(era: Any) -> None:
    async with Client(build_server(stand_in(), SCOPE), mode=era) as client:
        listed = (await client.list_resource_templates()).resource_templates
    assert [template.uri_template for template in listed] == [
        "memos://memories/{memory_id}",
        "memos://tools/{tool_id}",
        "memos://loadouts/{name}",
    ]


async def test_the_loadouts_that_a_connection_may_use_are_listed(tmp_path: Path) -> None:
    (tmp_path / "staging.toml").write_text("role = 'x'")
    (tmp_path / "other.toml").write_text("for = ['others']")
    (tmp_path / "broken.toml").write_text("role = ")
    app = stand_in(Settings(loadouts=tmp_path))
    async with Client(build_server(app, SCOPE)) as client:
        assert [one.uri for one in (await client.list_resources()).resources] == ["memos://loadouts/staging"]
    async with Client(build_server(app, replace(SCOPE, rights=frozenset({"write"})))) as client:
        assert (await client.list_resources()).resources == []


async def test_a_tool_is_read_with_its_schemas() -> None:
    services = stand_in()
    hit = tool_hit(tool_id="web.search", request_schema={"type": "object"})
    services.tools.page = ToolPage([hit], 1, 0)
    found = await read(services, "memos://tools/web.search")
    assert found["tool_id"] == hit.tool.tool_id
    assert found["request_schema"] == hit.tool.request_schema


async def test_the_pack_of_a_loadout_is_read_by_its_name() -> None:
    stub = OnlyLoadouts(gathered([memory_hit(content="The pier closes at ten.")]))
    found = await read(stub.app, "memos://loadouts/night%20shift")
    assert [name for name, *_ in stub.loadouts.asked] == ["night shift"]
    assert [memory["content"] for memory in found["memories"]] == ["The pier closes at ten."]


@pytest.mark.parametrize(
    "uri",
    ["memos://memory/5", "memos://tools/web.search", "memos://tools/", "memos://", "file:///etc/passwd", "tools/x"],
)
async def test_a_resource_that_is_not_there_is_refused_with_the_forms_of_uris(uri: str) -> None:
    async with Client(build_server(stand_in(), SCOPE)) as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    assert caught.value.error.code == -32602
    assert caught.value.error.message == (
        "There is no such resource. URIs: "
        "memos://memories/{memory_id}, memos://tools/{tool_id}, memos://loadouts/{name}."
    )


async def test_a_memory_by_something_else_than_an_id_is_refused() -> None:
    async with Client(build_server(stand_in(), SCOPE)) as client:
        with pytest.raises(MCPError, match="memory_ids must be"):
            await client.read_resource("memos://memories/the-first")
