"""The description and the schema with which a dataset's tool is registered."""

from collections.abc import Iterator, Mapping
from typing import Any

from memos_mcp.domain.tool import MAX_DESCRIPTION_CHARS


def description(tool: Mapping[str, Any]) -> str:
    """Return the description, or the name of a tool without one."""
    return str(tool.get("description") or "").strip()[:MAX_DESCRIPTION_CHARS] or str(tool["name"])


def schema(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters, with the tool's server and category as the schema's description.

    There its words are found without blurring the tool's vector: the tools of one server share them.
    """
    parameters = dict(tool.get("parameters") or {})
    about = " ".join([*([parameters["description"]] if parameters.get("description") else []), *_source(tool)])
    return {**parameters, "description": about} if about else parameters or None


def _source(tool: Mapping[str, Any]) -> Iterator[str]:
    given = {name: str(tool.get(name) or "").strip() for name in ("server", "server_description", "category")}
    if given["server"]:
        yield f"Server: {given['server']}." + (f" {given['server_description']}" if given["server_description"] else "")
    if given["category"]:
        yield f"Category: {given['category']}"
