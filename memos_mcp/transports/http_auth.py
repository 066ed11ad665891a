"""Authenticates HTTP requests by bearer tokens (RFC 6750): finds the principal of each, or refuses it."""

from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.responses import Response
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.domain.access_token import Authenticator, Principal
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.mcp_server.calling_client import PRINCIPAL
from memos_mcp.settings import Settings
from memos_mcp.transports.http_address import is_loopback
from memos_mcp.transports.loopback_token import loopback_token

MAX_BEARER_BYTES: Final = 8_192
"""Tokens of an issuer have up to a few KiB."""

SERVER: Final = "server"
"""The id of the principal that the server's own tokens stand for."""

ANYONE: Final = "anyone"

_REALM: Final = 'Bearer realm="memos-as"'


class ServerToken:
    """The `Authenticator` port on one token that the server itself has."""

    def __init__(self, token: str, principal: Principal) -> None:
        self._digest = _digest(token)
        self._principal = principal

    async def authenticate(self, bearer: str) -> Principal | None:
        """Return the server's own principal for its token; the time taken depends on neither."""
        return self._principal if compare_digest(_digest(bearer), self._digest) else None


class Authentication:
    """Admits requests with a token that one of the authenticators knows.

    With `open_to`, requests need no token and are all from that principal.
    """

    def __init__(self, *authenticators: Authenticator, open_to: Principal | None = None) -> None:
        self._authenticators = authenticators
        self._open_to = open_to

    async def refusal(self, connection: Connection, right: Right | None = None) -> Response | None:
        """Return the answer to a request that is refused; else None, and the connection has its principal.

        right: what the principal needs besides; the tools of the MCP server check theirs themselves.
        """
        try:
            principal = self._open_to or await self._principal(connection)
        except _RefusedError as refused:
            return refused.response
        except Unavailable as error:
            return Response(str(error), 503, {"Retry-After": "1"})
        if right is not None and right not in principal.scope.rights:
            return _challenge(403, f"The right {right} is required", "insufficient_scope", f', scope="{right}"')
        connection[PRINCIPAL] = principal
        connection["user"] = _session_owner(principal.id)
        return None

    async def _principal(self, connection: Connection) -> Principal:
        bearer = _bearer(connection)
        for authenticator in self._authenticators:
            if (principal := await authenticator.authenticate(bearer)) is not None:
                return principal
        raise _RefusedError(_challenge(401, "The access token is not valid", "invalid_token"))


class _RefusedError(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


def authentication(app: App, scope: Scope, settings: Settings) -> Authentication:
    """Return how the requests to a server with these settings are authenticated."""
    if settings.auth == "none":
        return Authentication(open_to=Principal(ANYONE, ANYONE, scope))
    token = settings.auth_token.get_secret_value() if settings.auth_token is not None else None
    if makes_token(settings):
        token = loopback_token(settings.home)
    own = [ServerToken(token, Principal(SERVER, SERVER, scope))] if token is not None else []
    return Authentication(*own, app.token_authenticator)


def makes_token(settings: Settings) -> bool:
    """Whether a server with these settings makes a token of its own."""
    return settings.auth == "token" and settings.auth_token is None and is_loopback(settings.host)


def _bearer(connection: Connection) -> str:
    headers = [value for name, value in connection["headers"] if name == b"authorization"]
    if len(headers) > 1:
        raise _RefusedError(_challenge(400, "Send one Authorization header", "invalid_request"))
    scheme, _, token = headers[0].partition(b" ") if headers else (b"", b"", b"")
    if scheme.lower() != b"bearer":
        raise _RefusedError(_challenge(401, "A bearer token is required"))
    if len(token) > MAX_BEARER_BYTES:
        raise _RefusedError(_challenge(401, "The access token is too long", "invalid_token"))
    bearer: str = token.strip().decode(errors="surrogateescape")
    return bearer


def _challenge(status: int, message: str, error: str | None = None, more: str = "") -> Response:
    """Refuse a request as RFC 6750 says; one without any token learns no error."""
    about = f', error="{error}", error_description="{message}"{more}' if error else ""
    return Response(f"{message}.", status, {"WWW-Authenticate": _REALM + about}, media_type="text/plain")


@lru_cache(maxsize=1_024)
def _session_owner(principal_id: str) -> AuthenticatedUser:
    """Return a principal as the SDK knows it, which binds each session to the one that has opened it."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal_id, scopes=[]))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()
