from collections.abc import Sequence

import pytest

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed, parse_host_port

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"


class Names:
    """A resolver with scripted answers, one for each call."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if self.answers else [host]


async def test_an_allowed_host_is_called_at_the_address_that_was_checked() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    target = await AllowedHosts(["tools.example.com"], [], names).target("https://tools.example.com/search")
    assert target.addresses == [PUBLIC]
    assert names.asked == ["tools.example.com"]


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/",
        "https://tools.example.com:8443/",
        "https://tools.example.com.evil.example/",
        "https://evil.example/tools.example.com",
        "https://tools.example.com@evil.example/",
        "https://tools.example.com./",
        "https://user:s3cret@tools.example.com/",
        "file:///etc/passwd",
        "ftp://tools.example.com/",
        "//tools.example.com/",
        "https://",
        "not a url",
        "http://[::1",
    ],
)
async def test_no_other_url_is_allowed(url: str) -> None:
    with pytest.raises(HostNotAllowed) as refusal:
        await AllowedHosts(["tools.example.com"], [], Names([PUBLIC])).target(url)
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
    ],
)
async def test_a_public_host_at_a_private_address_is_not_allowed(address: str) -> None:
    for addresses in ([address], [PUBLIC, address]):
        with pytest.raises(HostNotAllowed, match="address"):
            await AllowedHosts(["tools.example.com"], [], Names(addresses)).target("http://tools.example.com/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
async def test_other_spellings_of_loopback_are_not_allowed(host: str) -> None:
    with pytest.raises(HostNotAllowed):
        await AllowedHosts(["127.0.0.1:80"], ["127.0.0.1:8801"]).target(f"http://{host}/")
    with pytest.raises(HostNotAllowed, match=r"private|not a URL"):
        await AllowedHosts([host], []).target(f"http://{host}/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_a_private_host_may_be_at_a_private_address(address: str) -> None:
    target = await AllowedHosts([], ["tools.internal:8801"], Names([address])).target("http://tools.internal:8801/")
    assert target.addresses == [address]


async def test_a_private_host_may_be_at_a_link_local_address_only_if_it_is_listed_as_that_address() -> None:
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"):
        with pytest.raises(HostNotAllowed):
            await AllowedHosts([], ["tools.internal"], Names([address])).target("http://tools.internal/")
    target = await AllowedHosts([], ["169.254.1.1"], Names()).target("http://169.254.1.1/")
    assert target.addresses == ["169.254.1.1"]


async def test_an_unresolvable_host_is_a_retryable_failure() -> None:
    with pytest.raises(HostNotAllowed) as refusal:
        await AllowedHosts(["nowhere.invalid"], []).target("http://nowhere.invalid/")
    assert refusal.value.retryable


def test_a_host_is_a_name_or_an_address_with_an_optional_port() -> None:
    assert parse_host_port("Tools.Example.com") == ("tools.example.com", None)
    assert parse_host_port("tools.example.com:8443") == ("tools.example.com", 8443)
    assert parse_host_port("::1") == ("::1", None)
    assert parse_host_port("[::1]:80") == ("::1", 80)
    for wrong in ("http://tools.example.com", "tools.example.com/path", "", "user@tools.example.com"):
        with pytest.raises(ValueError, match="is not a host"):
            parse_host_port(wrong)
