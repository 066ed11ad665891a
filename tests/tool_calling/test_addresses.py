from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.tool_calling.addresses import reach_of
from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed

pytestmark = pytest.mark.anyio

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001::1", "::ffff:8.8.8.8"]
PRIVATE = [
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::808:808",  # 8.8.8.8 behind the NAT64 gateway of the own network
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::7f00:1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fe80::1",
    "febf::1",
    "fec0::1",
    "feff::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        (address, reach)
        for reach, table in (("public", PUBLIC), ("private", PRIVATE), ("never", NEVER))
        for address in table
    ],
)
def test_an_address_reaches_what_its_range_says(address: str, reach: str) -> None:
    assert reach_of(ip_address(address)) == reach


@pytest.mark.parametrize("address", PRIVATE + NEVER)
async def test_a_public_host_is_never_called_at_another_address(address: str) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return [PUBLIC[0], address]

    with pytest.raises(HostNotAllowed, match="address"):
        await AllowedHosts(["tools.example.com"], [], resolve).target("https://tools.example.com/")


@pytest.mark.parametrize("address", NEVER)
async def test_a_private_host_is_never_called_at_an_address_of_no_host(address: str) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return [address]

    with pytest.raises(HostNotAllowed, match="never called"):
        await AllowedHosts([], ["tools.internal"], resolve).target("http://tools.internal/")


@given(st.ip_addresses())
def test_what_python_knows_as_special_is_not_public(address: object) -> None:
    known = ip_address(str(address))
    if known.is_loopback or known.is_link_local or known.is_multicast or known.is_unspecified or known.is_reserved:
        assert reach_of(known) != "public" or str(known).startswith("::ffff:")
