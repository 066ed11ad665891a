"""Checks the head of every request before anything else: it is unambiguous, and names a host of this server.

Headers that say how a proxy was reached count only from proxies that the operator names.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, TypeAlias

from mcp.server.transport_security import TransportSecurityMiddleware
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from memos_mcp.domain.errors import Invalid

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SENT_ONCE: Final = frozenset(
    {b"host", b"origin", b"content-type", b"mcp-session-id", b"mcp-protocol-version", b"mcp-method", b"mcp-name"}
)
"""Headers of which a proxy might read the first and the server the last; Authorization has an answer of its own."""

PUBLIC_PATHS: Final = "/.well-known/"
"""Pages of any origin may read the metadata there."""

MAX_HEAD_BYTES: Final = 16 * 1024
"""What h11 waits for; of a head that arrives at once it takes more."""

_HOST: Final = re.compile(r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", re.ASCII)
_VERSIONS: Final = frozenset({"1.0", "1.1"})
_SCHEMES: Final = frozenset({"http", "https"})


class TrustedProxies:
    """The proxies whose `X-Forwarded-*` headers are believed: addresses or networks.

    `Forwarded` never counts: a proxy that sets one kind passes on what a client sends of the other.
    """

    def __init__(self, networks: Sequence[str]) -> None:
        try:
            self._networks: list[_Network] = [ipaddress.ip_network(network) for network in networks]
        except ValueError as error:
            raise Invalid(f"MEMOS_TRUSTED_PROXIES: {error}. Use addresses or networks such as 10.0.0.0/8.") from None

    def resolve(self, connection: Scope) -> Scope:
        """Return the connection as the client made it to the proxy; unchanged from anyone else."""
        client = connection.get("client")
        if not self._networks or client is None or not self._trusts(client[0]):
            return connection
        headers = Headers(scope=connection)
        resolved = dict(connection)
        if (address := self._client_of(headers.getlist("x-forwarded-for"))) is not None:
            resolved["client"] = (address, 0)
        if (scheme := headers.get("x-forwarded-proto", "").strip().lower()) in _SCHEMES:
            resolved["scheme"] = scheme
        if host := headers.get("x-forwarded-host", "").strip():
            kept = [(name, value) for name, value in connection["headers"] if name != b"host"]
            resolved["headers"] = [(b"host", host.encode("latin-1")), *kept]
        return resolved

    def _client_of(self, forwarded: Sequence[str]) -> str | None:
        """Return the last address that is no trusted proxy: what precedes it is what the client says of itself."""
        for part in reversed([part.strip() for value in forwarded for part in value.split(",")]):
            if _address(part) is None:
                return None
            if not self._trusts(part):
                return part
        return None

    def _trusts(self, address: str) -> bool:
        found = _address(address)
        return found is not None and any(found in network for network in self._networks)


class CheckHead:
    """The web application behind the checks of a head, whatever the path."""

    def __init__(self, app: ASGIApp, security: TransportSecurityMiddleware, proxies: TrustedProxies) -> None:
        self._app = app
        self._security = security
        self._proxies = proxies

    async def __call__(self, connection: Scope, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self._app(connection, receive, send)
            return
        refusal = _malformed(connection) or await self._wrong_host(connection)
        resolved = self._proxies.resolve(connection)
        if refusal is None and resolved is not connection:
            # Both hosts must be allowed: a proxy may pass on the X-Forwarded-Host of a page that was rebound to it.
            refusal = await self._wrong_host(resolved)
        await (refusal or self._app)(resolved, receive, send)

    async def _wrong_host(self, connection: Scope) -> Response | None:
        if connection["path"].startswith(PUBLIC_PATHS):
            kept = [(name, value) for name, value in connection["headers"] if name != b"origin"]
            connection = {**connection, "headers": kept}
        refusal = await self._security.validate_request(Request(connection))
        host = Headers(scope=connection).get("host", "")
        if refusal is None and not _HOST.fullmatch(host):  # the SDK takes anything for a port
            return PlainTextResponse("Invalid Host header", 421)
        return refusal


def _malformed(connection: Scope) -> Response | None:
    """Return the answer to a head that is too large or that a proxy may have read in another way, else None."""
    if connection["http_version"] not in _VERSIONS:
        return _refuse(505, "Use HTTP/1.1")
    if sum(len(name) + len(value) for name, value in connection["headers"]) > MAX_HEAD_BYTES:
        return _refuse(431, f"Send at most {MAX_HEAD_BYTES // 1024} KiB of headers")
    names = Counter(name for name, _ in connection["headers"])
    if b"content-length" in names and b"transfer-encoding" in names:
        return _refuse(400, "Send Content-Length or Transfer-Encoding, not both")
    for name in SENT_ONCE & names.keys():
        if names[name] > 1:
            return _refuse(400, f"Send one {name.decode()} header")
    if Headers(scope=connection).get("content-encoding", "identity").lower() != "identity":
        return _refuse(415, "Send bodies without Content-Encoding")
    return None


def _refuse(status: int, message: str) -> Response:
    """Refuse a request and close its connection: where the next one begins is not certain."""
    return PlainTextResponse(f"{message}.", status, {"Connection": "close"})


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
