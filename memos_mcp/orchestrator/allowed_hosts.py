"""Where a tool may be called: hosts that were named, at addresses that were looked at before the connection."""

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


class OutOfReach(Exception):
    """A URL that may not be called, or whose host does not exist; the message says why, without the URL."""

    def __init__(self, what: str, *, retryable: bool = False) -> None:
        super().__init__(what)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be called, at one of these addresses and no other."""

    url: httpx2.URL
    addresses: Sequence[str]


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system knows them."""
    return list(dict.fromkeys(str(entry[4][0]) for entry in await anyio.getaddrinfo(host, port, type=SOCK_STREAM)))


class Reach:
    """The hosts that may be called, with their ports, and which of them may be at a private address."""

    def __init__(
        self, hosts: Collection[str], private_hosts: Collection[str], resolve: Resolve = system_resolve
    ) -> None:
        self._private = frozenset(map(place, private_hosts))
        self._allowed = frozenset(map(place, hosts)) | self._private
        self._resolve = resolve

    async def target(self, url: str) -> Target:
        """Resolve a URL once and return where it may be called; raise `OutOfReach` when any address may not."""
        parsed = _parse(url)
        host, port = parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]
        places = {(host, port)} | ({(host, None)} if port == _PORTS[parsed.scheme] else set())
        if not places & self._allowed:
            raise OutOfReach("Its host is not one that may be called here")
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise OutOfReach("Its host is not known just now", retryable=True) from None
        for address in addresses:
            _admit(ip_address(address.partition("%")[0]), named=host, private=bool(places & self._private))
        if not addresses:
            raise OutOfReach("Its host has no address", retryable=True)
        return Target(parsed, addresses)


def place(host: str) -> HostPort:
    """Read `host`, `host:port` or `[address]:port`; raise ValueError for anything else, a URL for example."""
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
        raise OutOfReach("Its endpoint_url is not a URL") from None
    if parsed.scheme not in _PORTS or not parsed.host:
        raise OutOfReach("Its endpoint_url is not an http or https URL")
    if parsed.userinfo:
        raise OutOfReach("Its endpoint_url holds credentials")
    return parsed


def _admit(address: Address, *, named: str, private: bool) -> None:
    """Let public addresses pass, and private ones of a host that may have them; the rest only when named as such."""
    inner = _inner(address)
    if private and (inner.is_loopback or named == str(address)):
        return
    if inner.is_link_local or inner.is_multicast or inner.is_unspecified:
        raise OutOfReach("Its host is at an address that is never called (link-local, multicast or none)")
    if not (inner.is_global or (private and inner.is_private)):
        raise OutOfReach("Its host is at a private address, which was not allowed")


def _inner(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
