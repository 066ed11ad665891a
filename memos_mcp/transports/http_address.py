"""Where the HTTP transport listens, and the names by which it may be reached."""

import socket
import sys
from typing import Final

from mcp.server.transport_security import TransportSecuritySettings

from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings
from memos_mcp.transports.http_url import base_url, is_loopback, scheme_of

_LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")

UNACKNOWLEDGED_MS: Final = 60_000
"""After which the connection of a client that has vanished without closing it ends; Linux waits for 15 minutes."""

UNSENT_BYTES: Final = 128 * 1024
"""What the kernel holds of an answer that its client does not take: without a limit, some MiB for each connection."""


def check_address(settings: Settings) -> None:
    """Raise `Invalid` when these settings would let any other machine in, or contradict each other."""
    if settings.auth == "none" and settings.auth_token is not None:
        raise Invalid("MEMOS_AUTH=none lets clients in without MEMOS_AUTH_TOKEN. Unset one of them.")
    if is_loopback(settings.host) or (settings.auth == "token" and settings.allowed_hosts):
        return
    address = settings.host or "every address"
    if settings.auth == "none":
        raise Invalid(
            f"Refusing to listen on {address} with MEMOS_AUTH=none: any client that reaches it could read and change "
            "every memory. Unset MEMOS_AUTH, or listen on 127.0.0.1."
        )
    raise Invalid(
        f"Refusing to listen on {address}: set MEMOS_ALLOWED_HOSTS, the names that clients use, or listen on 127.0.0.1."
    )


def security(settings: Settings) -> TransportSecuritySettings:
    """Protect Host and Origin at any address: the SDK would not for one that is not loopback."""
    hosts, origins = list(settings.allowed_hosts), list(settings.allowed_origins)
    if is_loopback(settings.host):
        hosts += _LOOPBACK_HOSTS
        origins += [f"{scheme_of(settings)}://{host}" for host in _LOOPBACK_HOSTS]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[form for host in hosts for form in _with_any_port(host)],
        allowed_origins=[form for origin in origins for form in _with_any_port(origin)],
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `Invalid` when the address cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # explicitly TCP: asyncio keeps Nagle's algorithm on for a socket of protocol 0, which costs 40 ms a call
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":  # connections inherit these
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        message = f"Cannot listen on {host}, port {port}: {error.strerror}. Choose another --host or --port."
        raise Invalid(message) from error
    return listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return base_url(scheme, host, port)


def _with_any_port(name: str) -> tuple[str, ...]:
    has_port = ":" in name.removeprefix("http://").removeprefix("https://").rpartition("]")[2]
    return (name,) if has_port else (name, f"{name}:*")
