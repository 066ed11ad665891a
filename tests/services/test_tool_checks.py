"""Checks of tools, which call none of them."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from memos_mcp.domain.tool import Tool
from memos_mcp.services.tool_checks import ToolChecks
from memos_mcp.services.tool_sources import new_tool
from memos_mcp.tool_calling.allowed_hosts import AllowedHosts
from memos_mcp.tool_calling.credentials import Credential
from memos_mcp.tool_calling.endpoint_probe import EndpointProbe
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.tool_servers import ListedTool, ServerDown
from tests.tool_calling.endpoints import Tools, free_port, serving
from tests.tool_calling.test_caller import certified

pytestmark = pytest.mark.anyio

READ = ListedTool("read", None, "Return the text of a file.", {"type": "object"})


class Credentials:
    def get(self, name: str) -> Credential | None:
        if name == "empty":
            raise CallFailed("The credential empty has no secret")
        if name == "unknown":
            return None
        return Credential(name, (name,), "bearer", None, SecretStr("canary-8a1f27"))


class Lister:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def list_tools(self, server: str) -> Sequence[ListedTool]:
        self.asked.append(server)
        if server != "files":
            raise ServerDown("it has ended")
        return [READ]


def tool(tool_id: str, endpoint_url: str, **fields: Any) -> Tool:
    values: dict[str, Any] = {
        "name": tool_id,
        "description": READ.description,
        "request_schema": None,
        "response_schema": None,
        "required_capabilities": (),
    }
    return Tool(UUID(int=0), "here", tool_id, endpoint_url=endpoint_url, version=1, sequence=1, **values | fields)


def listed(tool_id: str, **fields: Any) -> Tool:
    server, _, name = tool_id.partition(".")
    values = {"name": name, "request_schema": READ.input_schema, "source": server}
    return tool(tool_id, f"mcp://{server}/{name}", **values | fields)


@contextmanager
def several_hosts() -> Iterator[tuple[str, Tools]]:
    tools = Tools()
    with serving(tools.app) as host:
        yield host, tools


async def check(
    hosts: Sequence[str], *tools: Tool, lister: Lister | None = None, trust: ssl.SSLContext | None = None
) -> list[str | None]:
    async def resolve(host: str, _port: int) -> Sequence[str]:
        return (host,) if host == "127.0.0.1" else ("127.0.0.1",)

    probe = EndpointProbe(AllowedHosts((), hosts, resolve), trust=trust or ssl.create_default_context())
    checks = await ToolChecks(probe.problem, lister or Lister(), Credentials()).check(tools)
    assert [check.tool for check in checks] == list(tools)
    return [check.problem for check in checks]


async def test_an_endpoint_is_connected_to_and_not_called() -> None:
    with several_hosts() as (host, tools):
        problems = await check(
            [host],
            tool("a", f"http://{host}/echo/{{id}}"),
            tool("b", f"http://{host}/other", method="DELETE", auth=host),
            tool("c", f"http://{host}/x", auth="unknown"),
            tool("d", f"http://{host}/x", auth="empty"),
            tool("e", f"http://{host}/x", auth="other.example"),
        )
        assert tools.seen == []
    assert problems[:2] == [None, None]
    assert problems[2:4] == [
        "Its credential unknown does not exist: memos-as credential set unknown",
        "The credential empty has no secret",
    ]
    assert "The credential other.example is not for its host" in (problems[4] or "")
    assert "canary" not in str(problems)


async def test_an_endpoint_that_cannot_be_reached_is_reported_with_the_reason() -> None:
    free = f"127.0.0.1:{free_port()}"
    with several_hosts() as (host, _):
        problems = await check(
            [free, host],
            tool("a", f"http://{free}/x"),
            tool("b", "https://unknown.example/x"),
            tool("c", f"https://{host}/x"),
        )
    assert problems[0] == "It cannot be reached"
    assert problems[1] == (
        "Its host is not one that may be called here "
        "(MEMOS_TOOL_HOSTS and MEMOS_TOOL_PRIVATE_HOSTS name those that may be called)"
    )
    assert problems[2] == "It does not speak TLS"


async def test_the_tools_of_a_server_are_checked_by_one_listing() -> None:
    lister = Lister()
    problems = await check(
        [],
        listed("files.read"),
        listed("files.read", description="Another."),
        listed("files.write"),
        listed("web.read"),
        lister=lister,
    )
    assert problems == [
        None,
        "Its server describes it otherwise now: memos-as tools sync files",
        "Its server no longer lists it: memos-as tools sync files",
        "The MCP server web cannot be used: it has ended",
    ]
    assert lister.asked == ["files", "web"]
    assert new_tool("files", READ).tool_id == "files.read"


async def test_a_certificate_must_be_trusted_and_for_the_host(tmp_path: Path) -> None:
    trust, files = certified("tools.internal", tmp_path)
    with serving(Tools().app, **files) as host:
        port = host.partition(":")[2]
        good, other = f"tools.internal:{port}", f"other.internal:{port}"
        tools = (tool("a", f"https://{good}/x"), tool("b", f"https://{other}/x"))
        trusted = await check([good, other], *tools, trust=trust)
        untrusted = await check([good, other], *tools)
    assert trusted[0] is None
    for problem in (trusted[1], *untrusted):
        assert (problem or "").startswith("Its certificate is not accepted: ")
