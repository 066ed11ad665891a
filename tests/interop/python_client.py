"""Plays a session through the client of the Python SDK: reads a job from stdin, prints what it saw as JSON."""

import json
import sys
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.sse import sse_client


def connection(job: dict[str, Any]) -> Client:
    mode = "auto" if job["era"] == "modern" else "legacy"
    if job["transport"] == "stdio":
        command, *arguments = job["command"]
        return Client(StdioServerParameters(command=command, args=arguments, env=job["env"]), mode=mode)
    return Client(sse_client(job["url"]) if job["transport"] == "sse" else job["url"], mode=mode)


def resolved(arguments: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Insert values from earlier answers: "$list.next_cursor" is that field of the answer to the call "list"."""
    found = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, str) and value.startswith("$"):
            step, field = value[1:].rsplit(".", 1)
            found[name] = (answers[step].get("structured") or {}).get(field)
    return found


async def call(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        result = await client.call_tool(tool, arguments)
    except MCPError as error:
        return {"error": error.error.model_dump(by_alias=True, exclude_none=True)}
    texts = [block.text for block in result.content if block.type == "text"]
    return {"isError": bool(result.is_error), "texts": texts, "structured": result.structured_content}


async def main() -> None:
    job = json.load(sys.stdin)
    answers: dict[str, Any] = {}
    async with connection(job) as client:
        listing = await client.list_tools()
        for step in job["session"]:
            answers[step["name"]] = await call(client, step["tool"], resolved(step["arguments"], answers))
        seen = {
            "protocol": client.protocol_version,
            "instructions": client.instructions,
            "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in listing.tools],
            "answers": answers,
        }
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    anyio.run(main)
