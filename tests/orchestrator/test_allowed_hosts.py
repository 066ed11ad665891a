from collections.abc import Sequence

import pytest

from memos_mcp.orchestrator.allowed_hosts import OutOfReach, Reach, place

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"


class Names:
    """A name service with one answer after another for each question."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if self.answers else [host]


async def test_a_host_that_was_named_is_reached_at_the_address_that_was_looked_at() -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    target = await Reach(["tools.example.com"], [], names).target("https://tools.example.com/search")
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
async def test_nothing_else_is_reached(url: str) -> None:
    with pytest.raises(OutOfReach) as refusal:
        await Reach(["tools.example.com"], [], Names([PUBLIC])).target(url)
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
async def test_a_name_at_an_inner_address_is_not_reached(address: str) -> None:
    for addresses in ([address], [PUBLIC, address]):
        with pytest.raises(OutOfReach, match="address"):
            await Reach(["tools.example.com"], [], Names(addresses)).target("http://tools.example.com/")


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "localhost"])
async def test_another_way_to_write_loopback_is_loopback(host: str) -> None:
    with pytest.raises(OutOfReach):
        await Reach(["127.0.0.1:80"], ["127.0.0.1:8801"]).target(f"http://{host}/")
    with pytest.raises(OutOfReach, match=r"private|not a URL"):
        await Reach([host], []).target(f"http://{host}/")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1", "::ffff:127.0.0.1"])
async def test_a_private_host_may_be_at_a_private_address(address: str) -> None:
    target = await Reach([], ["tools.internal:8801"], Names([address])).target("http://tools.internal:8801/")
    assert target.addresses == [address]


async def test_a_private_host_may_not_be_at_a_link_local_address_unless_it_is_named_as_one() -> None:
    for address in ("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"):
        with pytest.raises(OutOfReach):
            await Reach([], ["tools.internal"], Names([address])).target("http://tools.internal/")
    target = await Reach([], ["169.254.1.1"], Names()).target("http://169.254.1.1/")
    assert target.addresses == ["169.254.1.1"]


async def test_a_name_that_nobody_knows_may_be_tried_again() -> None:
    with pytest.raises(OutOfReach) as refusal:
        await Reach(["nowhere.invalid"], []).target("http://nowhere.invalid/")
    assert refusal.value.retryable


def test_a_host_is_a_name_or_an_address_and_perhaps_a_port() -> None:
    assert place("Tools.Example.com") == ("tools.example.com", None)
    assert place("tools.example.com:8443") == ("tools.example.com", 8443)
    assert place("::1") == ("::1", None)
    assert place("[::1]:80") == ("::1", 80)
    for wrong in ("http://tools.example.com", "tools.example.com/path", "", "user@tools.example.com"):
        with pytest.raises(ValueError, match="is not a host"):
            place(wrong)
