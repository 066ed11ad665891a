"""Vectors that were computed before, and claims on those that are being computed."""

from datetime import timedelta

import anyio
import numpy as np
import pytest

from memos_mcp.domain.index import Vector
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings

pytestmark = pytest.mark.anyio

LEASE = timedelta(minutes=1)
LAPSED = timedelta(minutes=-1)
ONE, TWO, THREE = b"1" * 32, b"2" * 32, b"3" * 32


def vector(*values: float) -> Vector:
    return np.array(values, np.float32)


async def test_vectors_come_back_by_model_and_text(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    await embeddings.add("m", {ONE: vector(0.5, -1.0, 3.0), TWO: vector(0.25, 0.0, 1e-3)})
    await embeddings.add("other", {ONE: vector(9.0)})
    found = await embeddings.get("m", [TWO, ONE, THREE])
    assert {key: list(vector) for key, vector in found.items()} == {
        ONE: [0.5, -1.0, 3.0],
        TWO: pytest.approx([0.25, 0.0, 1e-3]),
    }


async def test_a_vector_is_kept_as_little_endian_float32(database: Database) -> None:
    await PostgresEmbeddings(database).add("m", {ONE: vector(1.0, -2.0)})
    async with database.everything.connection() as connection:
        assert await connection.fetchval("SELECT vector FROM embeddings") == bytes.fromhex("0000803f000000c0")


async def test_every_computed_vector_is_counted_even_when_it_was_there(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    assert await embeddings.computed("m") == 0
    await embeddings.add("m", {ONE: vector(1.0), TWO: vector(2.0)})
    await embeddings.add("m", {TWO: vector(7.0), THREE: vector(3.0)})
    assert await embeddings.computed("m") == 4
    assert list((await embeddings.get("m", [TWO]))[TWO]) == [2.0]


async def test_writers_of_the_same_texts_in_any_order_do_not_disturb_each_other(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    keys = [bytes([number]) * 32 for number in range(200)]
    async with anyio.create_task_group() as tasks:
        for order in (keys, keys[::-1], keys, keys[::-1]):
            tasks.start_soon(embeddings.add, "m", {key: vector(1.0) for key in order})
    assert await embeddings.computed("m") == 800
    assert len(await embeddings.get("m", keys)) == 200


async def test_a_claimed_text_has_no_vector_and_cannot_be_claimed_again(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    assert await embeddings.claim("m", [TWO, ONE], LEASE) == {ONE, TWO}
    assert await embeddings.claim("m", [TWO, THREE], LEASE) == {THREE}
    assert await embeddings.claim("other", [ONE], LEASE) == {ONE}
    assert await embeddings.get("m", [ONE, TWO, THREE]) == {}
    assert await embeddings.computed("m") == 0


async def test_a_vector_replaces_its_claim_and_is_not_claimed_any_more(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    await embeddings.claim("m", [ONE], LAPSED)
    await embeddings.add("m", {ONE: vector(1.0), TWO: vector(2.0)})
    assert {key: list(one) for key, one in (await embeddings.get("m", [ONE, TWO])).items()} == {ONE: [1.0], TWO: [2.0]}
    assert await embeddings.claim("m", [ONE, TWO], LEASE) == set()
    await embeddings.release("m", [ONE, TWO])
    assert len(await embeddings.get("m", [ONE, TWO])) == 2
    assert await embeddings.computed("m") == 2


async def test_a_claim_lapses_or_is_released(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    await embeddings.claim("m", [ONE], LAPSED)
    assert await embeddings.claim("m", [ONE], LEASE) == {ONE}
    await embeddings.release("m", [ONE, TWO])
    assert await embeddings.claim("m", [ONE], LEASE) == {ONE}


async def test_a_vector_that_comes_after_its_lease_is_kept_and_both_inferences_are_counted(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    await embeddings.claim("m", [ONE], LAPSED)
    await embeddings.claim("m", [ONE], LEASE)
    await embeddings.add("m", {ONE: vector(1.0)})
    await embeddings.add("m", {ONE: vector(7.0)})
    assert list((await embeddings.get("m", [ONE]))[ONE]) == [1.0]
    assert await embeddings.computed("m") == 2


async def test_each_text_is_claimed_by_one_of_several_engines_at_once(database: Database) -> None:
    embeddings = PostgresEmbeddings(database)
    keys = [bytes([number]) * 32 for number in range(200)]
    claimed: list[bytes] = []

    async def claim(order: list[bytes]) -> None:
        claimed.extend(await embeddings.claim("m", order, LEASE))

    async with anyio.create_task_group() as tasks:
        for order in (keys, keys[::-1], keys, keys[::-1]):
            tasks.start_soon(claim, order)
    assert sorted(claimed) == keys
