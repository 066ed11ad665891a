"""Plays a session through the fastmcp client, in its own environment: reads a job from stdin, prints JSON."""

import asyncio
import json
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import (
    SSETransport,
    StdioTransport,
    StreamableHttpTransport,
)
from mcp import MCPError
from python_client import resolved


def connection(job: dict[str, Any]) -> Any:
    if job["transport"] == "stdio":
        command, *arguments = job["command"]
        return Client(StdioTransport(command, arguments, env=job["env"], keep_alive=False))
    return Client((SSETransport if job["transport"] == "sse" else StreamableHttpTransport)(job["url"]))


async def call(client: Any, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        result = await client.call_tool_mcp(tool, arguments)
    except MCPError as error:
        return {"error": error.error.model_dump(by_alias=True, exclude_none=True)}
    texts = [block.text for block in result.content if block.type == "text"]
    return {"isError": bool(result.is_error), "texts": texts, "structured": result.structured_content}


async def main() -> None:
    job = json.load(sys.stdin)
    answers: dict[str, Any] = {}
    async with connection(job) as client:
        tools = await client.list_tools()
        for step in job["session"]:
            answers[step["name"]] = await call(client, step["tool"], resolved(step["arguments"], answers))
        seen = {
            "protocol": client.protocol_version,
            "instructions": client.instructions,
            "tools": [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools],
            "answers": answers,
        }
    json.dump(seen, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
