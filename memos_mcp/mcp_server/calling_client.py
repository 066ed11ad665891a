"""Finds who makes a request: the scope, and the name of the client for the history."""

from dataclasses import replace
from typing import Any, Final

from mcp.server import ServerRequestContext

from memos_mcp.domain.access_token import Principal
from memos_mcp.domain.scope import Client, Scope

MAX_CHARS: Final = 255
"""Of a name or version that a client gives itself: the history is a record of clients, not of their texts."""

PRINCIPAL: Final = "memos.principal"
"""The key under which an HTTP request has its `Principal`. Transports set it; no client can."""


def scope_of(context: ServerRequestContext[Any], of_connection: Scope) -> Scope:
    """Return the scope of the principal of an HTTP request, else that of the connection.

    An HTTP request without a principal is an error of the transport and raises `KeyError`, so that it reads nothing.
    """
    if context.request is None:
        return of_connection
    principal: Principal = context.request.scope[PRINCIPAL]
    return replace(principal.scope, token_id=principal.name)


def client_of(context: ServerRequestContext[Any]) -> Client:
    """Return the client as it named itself in the handshake, or in this request, and the transport it uses."""
    params = context.session.client_params
    transport = _transport(context)
    if params is None:
        return Client(transport=transport)
    return Client(_printable(params.client_info.name), _printable(params.client_info.version), transport)


def _transport(context: ServerRequestContext[Any]) -> str:
    """Return the transport: only an HTTP request has a URL."""
    if context.request is None:
        return "stdio"
    return "sse" if context.request.url.path.startswith("/messages") else "streamable-http"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:MAX_CHARS])
