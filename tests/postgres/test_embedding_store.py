"""Vectors that were computed before."""

import anyio
import numpy as np
import pytest

from memos_mcp.domain.index import Vector
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embeddings import PostgresEmbeddings

pytestmark = pytest.mark.anyio

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
    async with database.connection() as connection:
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
