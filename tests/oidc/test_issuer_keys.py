"""When the keys of an issuer are fetched, and how long they are trusted."""

import anyio
import pytest

from memos_mcp.domain.errors import Unavailable
from memos_mcp.oidc.issuer_keys import FRESH_SECONDS, RETRY_SECONDS, TRUSTED_SECONDS, UNKNOWN_SECONDS, IssuerKeys
from memos_mcp.oidc.issuer_metadata import FetchError
from memos_mcp.oidc.signatures import MAX_KEYS, SigningKeys
from tests.oidc.signing import public_jwk

pytestmark = pytest.mark.anyio


class Issuer:
    """An issuer on a clock that the test sets. A fetch waits for `proceed`."""

    def __init__(self) -> None:
        self.published = [public_jwk("first")]
        self.fetches = 0
        self.away = False
        self.now = 0.0
        self.proceed = anyio.Event()
        self.proceed.set()
        self.asked = anyio.Event()
        self.keys = IssuerKeys(self._fetch, lambda: self.now)

    async def _fetch(self) -> list[object]:
        self.fetches += 1
        self.asked.set()
        await self.proceed.wait()
        if self.away:
            raise FetchError("it is away")
        return [*self.published]

    async def knows(self, key_id: str) -> bool:
        return await self.keys.find(key_id, "ES256") is not None


async def test_invented_key_ids_cost_one_fetch_in_ten_seconds() -> None:
    issuer = Issuer()
    for second in range(int(UNKNOWN_SECONDS) * 3):
        issuer.now = float(second)
        assert not await issuer.knows(f"invented {second}")
    assert issuer.fetches == 3


async def test_requests_that_wait_for_the_first_keys_share_one_fetch() -> None:
    issuer = Issuer()
    issuer.proceed = anyio.Event()
    known: list[bool] = []

    async def ask() -> None:
        known.append(await issuer.knows("first"))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(ask)
            await issuer.asked.wait()
            issuer.proceed.set()
    assert (known, issuer.fetches) == ([True] * 20, 1)


async def test_known_keys_are_used_while_older_ones_are_renewed() -> None:
    issuer = Issuer()
    assert await issuer.knows("first")
    issuer.now += FRESH_SECONDS + 1
    issuer.proceed, issuer.asked = anyio.Event(), anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(issuer.knows, "first")
            await issuer.asked.wait()
            assert await issuer.knows("first")
            issuer.proceed.set()
    assert issuer.fetches == 2


async def test_a_request_that_is_cancelled_does_not_keep_the_keys_from_being_fetched() -> None:
    issuer = Issuer()
    issuer.proceed = anyio.Event()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(issuer.knows, "first")
            await issuer.asked.wait()
            tasks.cancel_scope.cancel()
            issuer.proceed.set()
        assert await issuer.knows("first")
    assert issuer.fetches == 1


async def test_known_keys_outlast_the_issuer_for_a_day() -> None:
    issuer = Issuer()
    assert await issuer.knows("first")
    issuer.away = True
    issuer.now += FRESH_SECONDS + 1
    for _ in range(3):
        assert await issuer.knows("first")
    assert issuer.fetches == 2
    issuer.now += RETRY_SECONDS
    assert await issuer.knows("first")
    assert issuer.fetches == 3
    with pytest.raises(Unavailable):
        await issuer.knows("second")
    issuer.now = TRUSTED_SECONDS + 1
    with pytest.raises(Unavailable):
        await issuer.knows("first")
    issuer.away = False
    issuer.now += UNKNOWN_SECONDS
    assert await issuer.knows("first")


async def test_the_generation_changes_with_the_keys_only() -> None:
    issuer = Issuer()
    assert await issuer.knows("first")
    before = issuer.keys.generation
    issuer.now += FRESH_SECONDS + 1
    assert await issuer.knows("first")
    assert issuer.keys.generation == before
    issuer.published = [public_jwk("first"), public_jwk("second")]
    issuer.now += UNKNOWN_SECONDS
    assert await issuer.knows("second")
    assert issuer.keys.generation == before + 1


@pytest.mark.parametrize(
    ("jwk", "algorithm"),
    [
        (public_jwk("k", use="enc"), "ES256"),
        (public_jwk("k", key_ops=["encrypt"]), "ES256"),
        (public_jwk("k", alg="ES384"), "ES256"),
        (public_jwk("k", d="AA"), "ES256"),
        (public_jwk("k"), "ES384"),
        (public_jwk("k"), "RS256"),
        (public_jwk("k", x="AA"), "ES256"),
        (public_jwk("k", x=7), "ES256"),
        (public_jwk("k", kty=["EC"]), "ES256"),
        ({"kid": "k", "kty": "oct", "k": "c2VjcmV0"}, "ES256"),
        ({"kid": "k", "kty": "RSA"}, "RS256"),
        ({"kid": "k", "kty": "RSA", "n": 1, "e": []}, "RS256"),
        ({"kid": "k", "kty": "RSA", "n": "AA", "e": "AA"}, "RS256"),
        ({"kid": "k", "kty": "OKP", "crv": "Ed448", "x": "AA"}, "EdDSA"),
        ({"kid": "k"}, "ES256"),
        ("k", "ES256"),
        (None, "ES256"),
    ],
)
def test_a_key_that_signs_nothing_with_an_algorithm_is_left_out(jwk: object, algorithm: str) -> None:
    keys = SigningKeys([jwk, public_jwk("other")])
    assert keys.find("k", algorithm) is None
    assert keys.find("other", "ES256") is not None


def test_two_keys_of_one_id_and_different_kinds_are_both_found() -> None:
    keys = SigningKeys([public_jwk("k"), public_jwk("k", "RS256")])
    assert keys.find("k", "ES256") is not None
    assert keys.find("k", "RS256") is not None


def test_no_more_keys_than_an_issuer_has_are_kept() -> None:
    assert len(SigningKeys([public_jwk("k")] * (MAX_KEYS + 1)).jwks) == MAX_KEYS
