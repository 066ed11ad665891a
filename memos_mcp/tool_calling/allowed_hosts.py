"""Restricts calls of tools to allowed hosts, at addresses that are checked before the connection."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import ip_address
from socket import SOCK_STREAM
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import httpx2

from memos_mcp.tool_calling.addresses import Address, reach_of

HostPort: TypeAlias = tuple[str, int | None]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS: Final = {"http": 80, "https": 443}


class HostNotAllowed(Exception):
    """A URL may not be called, or its host does not exist. The message gives the reason without the URL."""

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, at one of these addresses only. `private`: its host is one of the private hosts."""

    url: httpx2.URL
    addresses: Sequence[str]
    private: bool


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host from the resolver of the system."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in await anyio.getaddrinfo(host, port, type=SOCK_STREAM)))


class AllowedHosts:
    """The hosts and ports that may be called. Those in `private_hosts` may be at private addresses."""

    def __init__(
        self, hosts: Collection[str], private_hosts: Collection[str], resolve: Resolve = system_resolve
    ) -> None:
        self._private = frozenset(map(parse_host_port, private_hosts))
        self._allowed = frozenset(map(parse_host_port, hosts)) | self._private
        self._resolve = resolve

    async def target(self, url: str) -> Target:
        """Resolve a URL once and return its addresses; raise `HostNotAllowed` if one of them may not be called."""
        parsed = _parse(url)
        host, names = names_of(parsed)
        if not names & self._allowed:
            raise HostNotAllowed("Its host is not one that may be called here")
        private = bool(names & self._private)
        try:
            addresses = await self._resolve(host, parsed.port or _PORTS[parsed.scheme])
        except (OSError, UnicodeError):
            raise HostNotAllowed("Its host cannot be resolved right now", retryable=True) from None
        for address in addresses:
            _check_address(ip_address(address.partition("%")[0]), named=host, private=private)
        if not addresses:
            raise HostNotAllowed("Its host has no address", retryable=True)
        return Target(parsed, addresses, private)


def names_of(url: httpx2.URL) -> tuple[str, AbstractSet[HostPort]]:
    """Return the host of a URL, and how a list may name it: with its port, and without if that is the scheme's."""
    host, default = _spelled(url.raw_host.decode("ascii")), _PORTS[url.scheme]
    port = url.port or default
    return host, {(host, port)} | ({(host, None)} if port == default else set())


def parse_host_port(host: str) -> HostPort:
    """Parse `host`, `host:port` or `[address]:port`; raise ValueError for anything else, a URL for example."""
    try:
        return str(ip_address(host)), None
    except ValueError:
        parts = urlsplit(f"//{host}")
    if parts.netloc != host or not parts.hostname or "@" in host:
        raise ValueError(f"{host!r} is not a host. Give a name or an address, with a port if you like, and no path.")
    return _spelled(parts.hostname), parts.port


def _spelled(host: str) -> str:
    """Return an address in its one canonical form, a name unchanged."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _parse(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise HostNotAllowed("Its endpoint_url is not a URL") from None
    if parsed.scheme not in _PORTS or not parsed.host:
        raise HostNotAllowed("Its endpoint_url is not an http or https URL")
    if parsed.userinfo:
        raise HostNotAllowed("Its endpoint_url holds credentials")
    return parsed


def _check_address(address: Address, *, named: str, private: bool) -> None:
    """Raise unless the address is public, is private and allowed for its host, or is itself an allowed private host."""
    reach = reach_of(address)
    if reach == "public" or (private and (reach == "private" or named == str(address))):
        return
    if reach == "never":
        raise HostNotAllowed("Its host is at an address that is never called (link-local, multicast, reserved or none)")
    raise HostNotAllowed("Its host is at a private address, which was not allowed")
