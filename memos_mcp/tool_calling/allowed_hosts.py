"""Restricts calls of tools to allowed hosts, at addresses that are checked before the connection."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
HostPort: TypeAlias = tuple[str, int | None]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS: Final = {"http": 80, "https": 443}
_NAT64: Final = IPv6Network("64:ff9b::/96")


class HostNotAllowed(Exception):
    """A URL may not be called, or its host does not exist. The message gives the reason without the URL."""

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, at one of these addresses only."""

    url: httpx2.URL
    addresses: Sequence[str]


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
        host, port = parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]
        names: set[HostPort] = {(host, port)} | ({(host, None)} if port == _PORTS[parsed.scheme] else set())
        if not names & self._allowed:
            raise HostNotAllowed("Its host is not one that may be called here")
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise HostNotAllowed("Its host cannot be resolved right now", retryable=True) from None
        for address in addresses:
            _check_address(ip_address(address.partition("%")[0]), named=host, private=bool(names & self._private))
        if not addresses:
            raise HostNotAllowed("Its host has no address", retryable=True)
        return Target(parsed, addresses)


def parse_host_port(host: str) -> HostPort:
    """Parse `host`, `host:port` or `[address]:port`; raise ValueError for anything else, a URL for example."""
    try:
        return str(ip_address(host)), None
    except ValueError:
        parts = urlsplit(f"//{host}")
    if parts.netloc != host or not parts.hostname or "@" in host:
        raise ValueError(f"{host!r} is not a host. Give a name or an address, with a port if you like, and no path.")
    return parts.hostname, parts.port


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
    inner = _ipv4_inside(address)
    if private and (inner.is_loopback or named == str(address)):
        return
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified:
        raise HostNotAllowed("Its host is at an address that is never called (link-local, multicast or none)")
    if not (inner.is_global or (private and inner.is_private)):
        raise HostNotAllowed("Its host is at a private address, which was not allowed")


def _ipv4_inside(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds (mapped, NAT64 or 6to4), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
