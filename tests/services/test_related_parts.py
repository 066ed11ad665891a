"""Parts of files come with the files that define what they use, on a real Postgres."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from memos_mcp.domain.memory import MemoryFilter, MemoryHit, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.languages import language
from memos_mcp.ingest.reading import SourceText
from memos_mcp.mcp_server.memory_results import found_memory
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.services.related_parts import with_related

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN, ELSE = Scope("team", "ann"), Scope("other", "ann")
APP = "from shop.cart import total\n\ndef run():\n    return total(1)\n"
CART = "def total(x):\n    return x\n"


async def ingest(database: Database, files: Mapping[str, str], source: str = "shop", scope: Scope = ANN) -> None:
    stored = []
    for path, text in files.items():
        made = chunks(SourceText(path, b"", language(path, text), text))
        stored.append(StoredFile(path, text.encode(), [chunk.new_memory(source) for chunk in made]))
    await PostgresSources(database).replace(scope, source, stored, NOW)


async def related(database: Database, path: str, scope: Scope = ANN) -> list[str]:
    store = PostgresMemories(database)
    where = MemoryFilter(metadata={"path": path})
    rows = await store.newest(scope.namespace, where, None, 10, NOW)
    (hit,) = await with_related(store, scope.namespace, [MemoryHit(row, (0,)) for row in rows], NOW)
    return list(hit.related)


async def test_a_part_comes_with_the_file_that_defines_what_it_uses(database: Database) -> None:
    await ingest(database, {"shop/app.py": APP, "shop/cart.py": CART, "shop/stock.py": CART})

    assert await related(database, "shop/app.py") == ["shop/cart.py"]


async def test_a_definition_that_moves_to_another_file_is_related_at_once(database: Database) -> None:
    await ingest(database, {"shop/app.py": "def run():\n    return total(1)\n", "shop/cart.py": CART})
    assert await related(database, "shop/app.py") == ["shop/cart.py"]
    await PostgresSources(database).remove(ANN, "shop", ["shop/cart.py"])
    assert await related(database, "shop/app.py") == []
    await ingest(database, {"shop/sums.py": CART})

    assert await related(database, "shop/app.py") == ["shop/sums.py"]


async def test_definitions_of_other_sources_and_namespaces_are_not_related(database: Database) -> None:
    await ingest(database, {"shop/app.py": APP})
    await ingest(database, {"shop/cart.py": CART}, source="lib")
    await ingest(database, {"shop/cart.py": CART}, scope=ELSE)

    assert await related(database, "shop/app.py") == []


async def test_a_hidden_definition_is_not_related(database: Database) -> None:
    await ingest(database, {"shop/app.py": APP, "shop/cart.py": CART})
    async with database.everything.connection() as connection:
        await connection.execute(
            "UPDATE agent_memories SET expires_at = $1 WHERE metadata @> $2", NOW, {"path": "shop/cart.py"}
        )

    assert await related(database, "shop/app.py") == []


async def test_metadata_of_any_form_can_be_stored_and_answered(database: Database) -> None:
    store = PostgresMemories(database)
    forms: list[Any] = [5, None, "total", {"a": [1]}, ["total", 7], []]
    for number, form in enumerate(forms):
        metadata = {"source": "shop", "path": "shop/odd.py", "defines": form, "uses": form}
        await store.add(ANN, NewMemory(f"memory {number}", kind="document", metadata=metadata), NOW)
    await ingest(database, {"shop/app.py": APP, "shop/cart.py": CART})
    rows = await store.newest("team", MemoryFilter(), None, 20, NOW)

    assert len(await with_related(store, "team", [MemoryHit(row, (0,)) for row in rows], NOW)) == len(rows)


async def test_an_answer_has_the_related_paths_instead_of_the_names(database: Database) -> None:
    await ingest(database, {"shop/app.py": APP, "shop/cart.py": CART})
    store = PostgresMemories(database)
    rows = await store.newest("team", MemoryFilter(metadata={"uses": ["total"]}), None, 10, NOW)
    (hit,) = await with_related(store, "team", [MemoryHit(row, (0,)) for row in rows], NOW)

    answer = found_memory(hit)
    assert answer["related"] == ["shop/cart.py"]
    assert answer["metadata"].keys() == {"source", "path", "folders", "lines", "language", "symbol"}
