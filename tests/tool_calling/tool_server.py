"""An MCP server of tools good and bad. Run as a program it serves stdio, with its state in the folder of its argument.

The file `tools.json` of the folder lists the tools by name, or all of them are there; `calls` has a line for each call.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ToolsListChanged

WORD = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
ANYTHING: dict[str, Any] = {"type": "object"}
READ_ONLY = types.ToolAnnotations(read_only_hint=True)
IDEMPOTENT = types.ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True)
PAGE = 4
PICTURE = "iVBORw0KGgo="


def _tool(name: str, **fields: Any) -> types.Tool:
    return types.Tool(
        name=name, **{"description": f"Does what {name} says.", "input_schema": ANYTHING, "annotations": None} | fields
    )


TOOLS = [
    _tool("echo", title="Echo", input_schema=WORD, output_schema=WORD, annotations=READ_ONLY),
    _tool("text", description=None),
    _tool("picture"),
    _tool("both", output_schema=ANYTHING),
    _tool("fails"),
    _tool("misfits", output_schema=WORD),
    _tool("unstructured", output_schema=WORD),
    _tool("environment", annotations=READ_ONLY),
    _tool("large", annotations=IDEMPOTENT),
    _tool("slow"),
    _tool("dies"),
    _tool("dies once", annotations=IDEMPOTENT),
    _tool("notify"),
]


def build(state: Path) -> Server[Any]:
    bus = InMemorySubscriptionBus()

    async def on_list(_: Any, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        start = int(params.cursor) if params is not None and params.cursor else 0
        listed = _listed(state)
        following = str(start + PAGE) if start + PAGE < len(listed) else None
        return types.ListToolsResult(tools=listed[start : start + PAGE], next_cursor=following)

    async def on_call(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        _record(state, params.name)
        if params.name == "notify":
            await bus.publish(ToolsListChanged())
            return _text("notified")
        if params.name == "slow":
            await anyio.sleep_forever()
        return _answer(state, params.name, params.arguments or {})

    return Server(
        "tests",
        version="1",
        on_list_tools=on_list,
        on_call_tool=on_call,
        on_subscriptions_listen=ListenHandler(bus),
    )


def calls(state: Path) -> list[str]:
    """Return the names of the tools that were called."""
    return (state / "calls").read_text().splitlines() if (state / "calls").exists() else []


def _answer(state: Path, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
    if name == "dies" or (name == "dies once" and calls(state).count(name) == 1):
        os._exit(1)
    answers = {
        "echo": lambda: types.CallToolResult(content=[], structured_content=arguments),
        "picture": lambda: types.CallToolResult(content=[*_text("a picture").content, _picture()]),
        "both": lambda: types.CallToolResult(content=[_picture()], structured_content={"size": 1}),
        "fails": lambda: types.CallToolResult(content=_text("The disk is full.").content, is_error=True),
        "misfits": lambda: types.CallToolResult(content=[], structured_content={"word": 5}),
        "environment": lambda: types.CallToolResult(content=[], structured_content=dict(os.environ)),
        "large": lambda: _text("x" * arguments["size"]),
    }
    return answers.get(name, lambda: _text(name))()


def _listed(state: Path) -> list[types.Tool]:
    chosen = state / "tools.json"
    if not chosen.exists():
        return TOOLS
    wanted: dict[str, dict[str, Any]] = json.loads(chosen.read_text())
    return [
        tool.model_copy(update=wanted[tool.name]) if tool.name in wanted else tool
        for tool in [*TOOLS, *(_tool(name) for name in wanted if name not in {tool.name for tool in TOOLS})]
        if tool.name in wanted
    ]


def _record(state: Path, name: str) -> None:
    with (state / "calls").open("a") as file:
        file.write(f"{name}\n")


def _text(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)])


def _picture() -> types.ImageContent:
    return types.ImageContent(data=PICTURE, mime_type="image/png")


async def _main() -> None:
    server = build(Path(sys.argv[1]))
    options = server.create_initialization_options(NotificationOptions(tools_changed=True))
    async with stdio_server() as (read, write):
        await server.run(read, write, options)


if __name__ == "__main__":
    anyio.run(_main)
