"""Classifies addresses by what may be called there. Pure.

The ranges are those of the IANA registries of special-purpose addresses, written out: `ipaddress.is_global` differs
between versions of Python.
https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Reach: TypeAlias = Literal["public", "private", "never"]
"""`public`: a global unicast address.  `private`: of this machine or network.  `never`: not the address of a host."""

_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")

_PRIVATE_4: Final = tuple(
    IPv4Network(network)
    for network in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
_NEVER_4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "169.254.0.0/16",  # link-local, among them the metadata services of clouds
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_PRIVATE_6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
_NEVER_6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, which embeds an IPv4 address
        "3fff::/20",  # documentation
    )
)
"""The exceptions within 2000::/3. Nothing outside it is global unicast, such as ::/96, fec0::/10 and 5f00::/16."""


def reach_of(address: Address) -> Reach:
    """Return what an address reaches. An IPv4 address mapped into IPv6 reaches what it reaches itself."""
    if isinstance(address, IPv4Address):
        return _reach_of_4(address)
    inner = IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _MAPPED:
        return _reach_of_4(inner)
    if address in _NAT64:  # the gateway of the own network; it must not lead back into that network
        return "private" if _reach_of_4(inner) == "public" else "never"
    if any(address in network for network in _PRIVATE_6):
        return "private"
    if address not in _GLOBAL_UNICAST or any(address in network for network in _NEVER_6):
        return "never"
    return "public"


def _reach_of_4(address: IPv4Address) -> Reach:
    if any(address in network for network in _PRIVATE_4):
        return "private"
    return "never" if any(address in network for network in _NEVER_4) else "public"
