"""The URLs of HTTP servers, and which of their addresses only this machine reaches."""

import ipaddress
from typing import Literal

from memos_mcp.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def scheme_of(settings: Settings) -> Literal["http", "https"]:
    """Return the scheme of a server with these settings."""
    return "http" if settings.tls_cert is None else "https"


def base_url(scheme: str, host: str, port: int) -> str:
    """Return the URL of a server without a path; an address of IPv6 is in brackets."""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
