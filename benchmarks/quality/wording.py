"""How a set's tool is described to `register_tool`: the one place that decides on the words."""

from collections.abc import Iterator, Mapping
from typing import Any

from memos_mcp.domain.tool import MAX_DESCRIPTION_CHARS


def description(tool: Mapping[str, Any]) -> str:
    """Return the description, then server and category where the set tells them; the name when there is nothing."""
    return "\n".join(_lines(tool))[:MAX_DESCRIPTION_CHARS] or str(tool["name"])


def _lines(tool: Mapping[str, Any]) -> Iterator[str]:
    given = {name: str(tool.get(name) or "").strip() for name in ("description", "server", "server_description")}
    if given["description"]:
        yield given["description"]
    if given["server"]:
        yield f"Server: {given['server']}." + (f" {given['server_description']}" if given["server_description"] else "")
    if category := str(tool.get("category") or "").strip():
        yield f"Category: {category}"
