"""Tools over HTTP and of an MCP server that repeat what they are given, in every part of an answer. For tests."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import mcp_types as types
import psutil
from mcp import MCPError
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TEXT = {"type": "string"}
LOCATIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "part": TEXT,
        "question": {**TEXT, "x-in": "query"},
        "head": {**TEXT, "x-in": "header", "x-name": "X-Head"},
        "body": TEXT,
        "coded": {**TEXT, "pattern": "^(\\S+)+$", "x-in": "query"},
        "count": {"type": "integer", "x-in": "query"},
    },
    "required": ["part"],
}
"""A schema with an argument of each location. The pattern is checked by a process of its own."""
REPLY = {"type": "object", "properties": {"reply": {"type": "integer"}}, "required": ["reply"]}
REPEAT = types.Tool(
    name="repeat",
    description="Repeat a word.",
    input_schema={"type": "object", "properties": {"word": TEXT, "how": TEXT}, "required": ["word", "how"]},
    output_schema={"type": "object", "properties": {"word": TEXT}, "required": ["word"]},
)

ANSWERS: Mapping[str, Callable[[str], Response]] = {
    "answers": lambda given: JSONResponse({"reply": 1, "given": given}),
    "misfits": lambda given: JSONResponse({"reply": given}),
    "writes": PlainTextResponse,
    "forbids": lambda given: JSONResponse({"error": given}, 403),
    "rejects": lambda given: JSONResponse({"error": f"no: {given}"}, 422),
    "breaks": lambda given: PlainTextResponse(given, 500),
    "refuses": lambda given: PlainTextResponse(given, 503, {"retry-after": "90"}),
    "accepts": lambda given: JSONResponse({"reply": 1}, 202, {"location": f"/{given}"}),
    "creates": lambda given: Response(status_code=201, headers={"location": f"/{given}"}),
    "moves": lambda given: Response(status_code=303, headers={"location": f"/{given}"}),
    "redirects": lambda given: Response(status_code=307, headers={"location": f"http://{given}.test/{given}"}),
    "draws": lambda given: Response(b"\xff", media_type=f"image/{given}"),
    "compresses": lambda given: Response(b"x", headers={"content-encoding": given[:20]}),
    "heads": lambda given: PlainTextResponse(given, headers={"x-given": given, "etag": given}),
}
"""Answers with a text in their body or headers, by the first part of the path."""


@dataclass
class Endpoints:
    """HTTP endpoints that answer with `answer`; `seen` are the requests, `processes` the command lines meanwhile."""

    answer: str
    seen: list[str] = field(default_factory=list)
    processes: set[str] = field(default_factory=set)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{behaviour}/{part}", self._answer, methods=["GET", "HEAD", "POST"])])

    async def _answer(self, request: Request) -> Response:
        body = (await request.body()).decode()
        self.seen.append(f"{request.method} {request.url} {request.headers.get('x-head')} {body}")
        self.processes.update(command_lines())
        if request.path_params["behaviour"] == "sleeps":
            await anyio.sleep_forever()
        return ANSWERS[request.path_params["behaviour"]](self.answer)


def command_lines() -> Iterator[str]:
    """Yield the command line of every process, as `ps` lists them."""
    for process in psutil.process_iter(["cmdline"]):
        if found := process.info["cmdline"]:
            yield " ".join(map(str, found))


def build() -> Server[Any]:
    """Return an MCP server with one tool, which repeats its word as an answer, an error or a refusal."""

    async def on_list(_: Any, _params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[REPEAT])

    async def on_call(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        given = params.arguments or {}
        word, how = given["word"], given["how"]
        sys.stderr.write(f"called with {word}\n")
        if how.startswith("-"):
            raise MCPError(int(how), word)
        if how == "error":
            return types.CallToolResult(content=[types.TextContent(text=word)], is_error=True)
        if how == "text":
            return types.CallToolResult(content=[types.TextContent(text=word)])
        return types.CallToolResult(content=[], structured_content={"word": word if how == "answer" else [word]})

    return Server("repeating", version="1", on_list_tools=on_list, on_call_tool=on_call)


async def _main() -> None:
    server = build()
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    anyio.run(_main)
