"""Maps documents that tests write as Python values."""

import json
from collections.abc import Mapping
from typing import Any

from memos_mcp.domain.tool import NewTool
from memos_mcp.openapi.api_tools import ApiTools, Choices, tools_of
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.requests import HttpRequest, request_of

SERVER = "https://shop.test/v1"


def mapped(
    paths: Mapping[str, Any], choices: Choices | None = None, *, version: str = "3.0.3", **root: Any
) -> ApiTools:
    """Return the tools of a document with these paths; each of them can be registered."""
    written = {
        "openapi": version,
        "info": {"title": "Shop", "version": "1"},
        "servers": [{"url": SERVER}],
        "paths": paths,
        **root,
    }
    api = tools_of(json.dumps(written).encode(), "shop.json", choices or Choices())
    for tool in api.tools.values():
        tool.check()
    return api


def operation(fields: Mapping[str, Any], path: str = "/things", method: str = "get", **root: Any) -> NewTool:
    """Return the only tool of a document with one operation."""
    (tool,) = mapped({path: {method: fields}}, **root).tools.values()
    return tool


def reasons(api: ApiTools, effect: str) -> list[str]:
    """Return the reasons of the findings with this effect."""
    return [finding.reason for finding in api.findings if finding.effect == effect]


def request(tool: NewTool, **arguments: Any) -> HttpRequest:
    """Return the request of a call."""
    return request_of(CalledTool(tool.tool_id, tool.endpoint_url, tool.called_by, tool.request_schema), arguments)
