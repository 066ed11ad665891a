"""Shared by the two tools: validated arguments, errors in words, and a socket that only this machine can reach."""

import socket
import sys
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute

MAX_BODY_BYTES: Final = 64 * 1024


class Arguments(BaseModel):
    """Arguments of a call; unknown ones are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Arguments)


async def from_body(request: Request, model: type[Model]) -> Model:
    """Read the JSON body; requiring its content type blocks forms of other web sites."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "Send application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body has more than {MAX_BODY_BYTES:,} bytes.")
    return model.model_validate_json(body, strict=True)


def from_query(request: Request, model: type[Model]) -> Model:
    """Read the query parameters, which are text."""
    return model.model_validate_strings(dict(request.query_params))


def application(routes: Sequence[BaseRoute]) -> Starlette:
    """Answer these routes, and every error as `{"error": "..."}`."""
    return Starlette(
        routes=routes,
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        exception_handlers={ValidationError: _invalid, HTTPException: _refused},
    )


def serve(app: Starlette, *, name: str, port: int, path: str) -> int:
    """Serve until stopped; port 0 takes any free one. The first line printed is the endpoint's address."""
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        print(f"port {port} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    with listener:
        # For connections too, which inherit it: an answer is written in two parts, and would wait 40 ms between them.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"{name}: http://127.0.0.1:{listener.getsockname()[1]}{path}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
    return 0


def _invalid(_request: Request, error: Any) -> JSONResponse:
    problems = error.errors(include_url=False, include_input=False)
    messages = [": ".join([".".join(map(str, problem["loc"])), problem["msg"]]).lstrip(": ") for problem in problems]
    return JSONResponse({"error": "; ".join(messages)}, status_code=422)


def _refused(_request: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.detail}, status_code=error.status_code, headers=error.headers)
