"""Finds the address of an operation: the server, with its variables, and the path."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from memos_mcp.openapi.findings import Findings, Unmappable

_VARIABLE: Final = re.compile(r"\{([^{}]*)\}")
_SAFE: Final = "/:@!$&'()*+,;=~-._%?#[]{}"


def server_of(
    owners: tuple[Mapping[str, Any], ...], base_url: str | None, address: str | None, findings: Findings
) -> str:
    """Return the address that paths are appended to; raise `Unmappable` when there is none.

    owners: the operation, its path and the description, of which the first that has servers counts.
    address: the description's own, to which the servers are relative.
    """
    if base_url is not None:
        return base_url.rstrip("/")
    servers = next((found for owner in owners if (found := _servers(owner))), [{"url": "/"}])
    chosen = servers[0]
    url = _VARIABLE.sub(lambda name: _value(name[1], chosen, findings), str(chosen.get("url", "/")))
    if address is not None:
        url = urljoin(address, url)
    if not _is_http(url) or "{" in url:
        raise Unmappable(
            f"Its server is {url[:80]!r}, which is no address with a host. Give the address with --base-url."
        )
    if len(servers) > 1:
        others = ", ".join(str(other.get("url")) for other in servers[1:])
        findings.noticed(f"The server is {url}; --base-url chooses another one, such as {others[:200]}.")
    return url.rstrip("/")


def encoded(path: str) -> str:
    """Return a path in which what a URL cannot hold is percent-encoded, outside and inside of the names."""
    return quote(path.partition("#")[0], safe=_SAFE)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False


def _servers(owner: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the servers of an owner, those of HTTP first."""
    listed = owner.get("servers")
    found = [server for server in listed if isinstance(server, Mapping)] if isinstance(listed, list) else []
    return sorted(found, key=lambda server: not str(server.get("url", "")).startswith(("http", "/", "{")))


def _value(name: str, server: Mapping[str, Any], findings: Findings) -> str:
    variables = server.get("variables")
    variable = variables.get(name) if isinstance(variables, Mapping) else None
    value = variable.get("default") if isinstance(variable, Mapping) else None
    if not isinstance(value, str | int | float):
        raise Unmappable(f"Its server has the variable {name!r} without a default. Give the address with --base-url.")
    findings.noticed(f"The variable {name!r} of the server is {value!r}, its default; --base-url sets another address.")
    return str(value)
