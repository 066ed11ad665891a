"""The services of an orchestrator as real HTTP servers on loopback: a scripted model, a memory, and the tools."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import types
from mcp.server import Server, ServerRequestContext
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from memos_mcp.orchestrator.payload import KnownTool
from tests.tool_calling.endpoints import ECHO, Tools, free_port, serving, within

__all__ = ["ECHO", "Memory", "Model", "Tools", "calling", "free_port", "guarded", "serving", "tool", "within"]


def tool(host: str, behaviour: str = "echo", **changed: Any) -> KnownTool:
    """Return a registered tool at one of the endpoints."""
    given: dict[str, Any] = {
        "tool_id": f"test.{behaviour}",
        "name": behaviour.title(),
        "description": f"Does {behaviour}.",
        "endpoint_url": f"http://{host}/{behaviour}",
        "request_schema": ECHO,
        "response_schema": {"type": "object", "properties": {"reply": {"type": "string"}}, "required": ["reply"]},
    }
    return KnownTool(**{**given, **changed})


@dataclass
class Model:
    """An OpenAI endpoint that answers with its lines in order, then with the last; a line may depend on the request.

    A line is a message, also with the `finish_reason` and `usage` of its response, a status, or a status with a body.
    """

    lines: Sequence[Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]] | int | tuple[int, Any]]
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        self.keys.append(request.headers.get("authorization"))
        asked = await request.json()
        self.asked.append(asked)
        line = self.lines[min(len(self.asked), len(self.lines)) - 1]
        if isinstance(line, int):
            line = line, {"error": {"message": "the key sk-secret is wrong"}}
        if isinstance(line, tuple):
            return JSONResponse(line[1], line[0])
        message = {"role": "assistant", "content": None, **(line(asked) if callable(line) else line)}
        finish, usage = message.pop("finish_reason", "stop"), message.pop("usage", None)
        return JSONResponse(
            {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": finish}],
                "usage": usage,
            }
        )


def calling(*calls: tuple[str, str]) -> dict[str, Any]:
    """Return a line that calls functions with arguments as text."""
    return {
        "tool_calls": [
            {"id": f"call-{number}", "type": "function", "function": {"name": name, "arguments": arguments}}
            for number, (name, arguments) in enumerate(calls)
        ]
    }


@dataclass
class Memory:
    """An MCP server with a scripted answer for each tool; a string is an error. `lists` are the tools that it lists."""

    answers: dict[str, Any]
    lists: Sequence[str] = ()
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    hangs: bool = False

    @property
    def app(self) -> ASGIApp:
        return Server("memory", on_list_tools=self._list, on_call_tool=self._call).streamable_http_app()

    async def _list(
        self, _: ServerRequestContext[Any], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        """List one tool on each page."""
        page = int(params.cursor) if params is not None and params.cursor else 0
        tools = [types.Tool(name=name, input_schema={"type": "object"}) for name in self.lists[page : page + 1]]
        more = str(page + 1) if page + 1 < len(self.lists) else None
        return types.ListToolsResult(tools=tools, next_cursor=more)

    async def _call(self, _: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
        self.asked.append((params.name, params.arguments or {}))
        if self.hangs:
            await anyio.sleep_forever()
        answer = self.answers.get(params.name, "There is no such tool.")
        if isinstance(answer, str):
            return types.CallToolResult(content=[types.TextContent(text=answer)], is_error=True)
        if callable(answer):
            answer = answer(params.arguments)
        return types.CallToolResult(content=[types.TextContent(text=json.dumps(answer))], structured_content=answer)


def guarded(app: ASGIApp, token: str) -> Starlette:
    """Refuse requests without the token."""

    async def check(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != f"Bearer {token}".encode():
            await Response(status_code=401)(scope, receive, send)
        else:
            await app(scope, receive, send)

    inner: Any = app
    return Starlette(routes=[Mount("/", check)], lifespan=lambda _: inner.router.lifespan_context(inner))
