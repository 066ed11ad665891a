"""Authenticates HTTP requests by bearer tokens (RFC 6750): finds the principal of each, or refuses it."""

from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.responses import Response
from starlette.types import Scope as Connection

from memos_mcp.app import App
from memos_mcp.domain.access_token import DEFAULT_RIGHTS, Authenticator, Principal
from memos_mcp.domain.errors import Unavailable
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.mcp_server.calling_client import PRINCIPAL
from memos_mcp.settings import Settings
from memos_mcp.transports.http_resource import ProtectedResource, issuer_tokens, protected_resource, scopes
from memos_mcp.transports.loopback_token import loopback_token, makes_token

MAX_BEARER_BYTES: Final = 8_192
"""Tokens of an issuer have up to a few KiB."""

SERVER: Final = "server"
"""The id of the principal that the server's own tokens stand for."""

ANYONE: Final = "anyone"


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

    With `open_to`, requests need no token and are all from that principal. With `resource`, a refusal says
    where clients get tokens.
    """

    def __init__(
        self,
        *authenticators: Authenticator,
        open_to: Principal | None = None,
        resource: ProtectedResource | None = None,
    ) -> None:
        self._authenticators = authenticators
        self._open_to = open_to
        self._resource = resource

    async def refusal(self, connection: Connection, right: Right | None = None) -> Response | None:
        """Return the answer to a request that is refused; else None, and the connection has its principal.

        right: what the principal needs besides; the tools of the MCP server check theirs themselves.
        """
        try:
            principal = self._open_to or await self._principal(connection)
            _check_rights(principal, right)
        except _RefusedError as refused:
            return self._challenge(refused)
        except Unavailable as error:
            return Response(str(error), 503, {"Retry-After": "1"})
        connection[PRINCIPAL] = principal
        connection["user"] = _session_owner(principal.id)
        return None

    async def _principal(self, connection: Connection) -> Principal:
        bearer = _bearer(connection)
        for authenticator in self._authenticators:
            if (principal := await authenticator.authenticate(bearer)) is not None:
                return principal
        raise _RefusedError(401, "The access token is not valid", "invalid_token")

    def _challenge(self, refused: "_RefusedError") -> Response:
        """Refuse a request as RFC 6750 says; one without any token learns no error."""
        parameters = {"realm": "memos-as"}
        if refused.error is not None:
            parameters |= {"error": refused.error, "error_description": str(refused)}
        if self._resource is not None:  # RFC 9728, section 5.1; the scopes are what MCP adds
            scope = scopes(refused.rights or DEFAULT_RIGHTS)
            parameters |= {"scope": " ".join(scope), "resource_metadata": self._resource.metadata_url}
        elif refused.rights:
            parameters["scope"] = " ".join(sorted(refused.rights))
        header = "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parameters.items())
        return Response(f"{refused}.", refused.status, {"WWW-Authenticate": header}, media_type="text/plain")


class _RefusedError(Exception):
    """The answer to a request that is refused. error: that of RFC 6750; rights: those that are needed, if any are."""

    def __init__(self, status: int, message: str, error: str | None = None, rights: Collection[Right] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.rights = rights


def authentication(app: App, scope: Scope, settings: Settings) -> Authentication:
    """Return how the requests to a server with these settings are authenticated."""
    if settings.auth == "none":
        return Authentication(open_to=Principal(ANYONE, ANYONE, scope))
    token = settings.auth_token.get_secret_value() if settings.auth_token is not None else None
    if makes_token(settings):
        token = loopback_token(settings.home)
    own = [ServerToken(token, Principal(SERVER, SERVER, scope))] if token is not None else []
    resource = protected_resource(settings)
    return Authentication(*own, app.token_authenticator, *issuer_tokens(settings), resource=resource)


def _bearer(connection: Connection) -> str:
    headers = [value for name, value in connection["headers"] if name == b"authorization"]
    if len(headers) > 1:
        raise _RefusedError(400, "Send one Authorization header", "invalid_request")
    scheme, _, token = headers[0].partition(b" ") if headers else (b"", b"", b"")
    if scheme.lower() != b"bearer":
        raise _RefusedError(401, "A bearer token is required")
    if len(token) > MAX_BEARER_BYTES:
        raise _RefusedError(401, "The access token is too long", "invalid_token")
    bearer: str = token.strip().decode(errors="surrogateescape")
    return bearer


def _check_rights(principal: Principal, right: Right | None) -> None:
    """Refuse a principal without any rights, or without the one that is needed."""
    rights = principal.scope.rights
    if not rights:
        raise _RefusedError(403, "The access token has no rights here", "insufficient_scope", DEFAULT_RIGHTS)
    if right is not None and right not in rights:
        raise _RefusedError(403, f"The right {right} is required", "insufficient_scope", (right,))


@lru_cache(maxsize=1_024)
def _session_owner(principal_id: str) -> AuthenticatedUser:
    """Return a principal as the SDK knows it, which binds each session to the one that has opened it."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal_id, scopes=[]))


def _digest(token: str) -> bytes:
    return sha256(token.encode(errors="surrogateescape")).digest()
