"""Asks questions in eight languages, each about one of some forty statements in the same language.

They are those of `tests/languages`. For each language it prints how many questions put the right statement first: by
the BM25 lane alone, by full-text search in Postgres alone, and by the product with the default model. Two more columns
say how often `confident` is null, and how often a wrong statement is as near to the question as `confident` asks for.

    python benchmarks/every_language.py
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import anyio
from figures import verdict

from memos_mcp.app import App, open_app
from memos_mcp.domain.memory import MemoryFilter, MemoryHit, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.retrieval.confidence import IS_NEAR
from memos_mcp.settings import Settings

LANGUAGES = Path(__file__).parents[1] / "tests" / "languages"
COLUMNS = ("words", "full text", "product", "null", "near others")
GOAL = 0.9


async def measure(app: App, language: str, pairs: Sequence[tuple[str, str]]) -> Counter[str]:
    """Store the statements in a namespace of their own; return how many questions count in each column."""
    scope = Scope(language, "benchmark")
    stored = [await app.memories.store(scope, NewMemory(statement)) for statement, _ in pairs]
    counts: Counter[str] = Counter()
    for (_, question), right in zip(pairs, (one.memory_id for one in stored), strict=True):
        page = await app.memories.query(scope, MemoryQuery(question, limit=len(pairs)))
        others = [hit.signals.get("dense", 0.0) for hit in page.hits if hit.memory.memory_id != right]
        counts["words"] += first_by_words(page.hits) == right
        counts["full text"] += await first_by_full_text(app.database, language, question) == right
        counts["product"] += page.hits[0].memory.memory_id == right
        counts["null"] += page.confident is None
        counts["near others"] += max(others) >= IS_NEAR
    return counts


def first_by_words(hits: Sequence[MemoryHit]) -> UUID | None:
    best = max(hits, key=lambda hit: hit.signals.get("bm25", 0.0))
    return best.memory.memory_id if "bm25" in best.signals else None


async def first_by_full_text(database: Database, namespace: str, question: str) -> UUID | None:
    now = datetime.now(UTC)
    found = await PostgresMemories(database).text_search(namespace, question, MemoryFilter(), 1, now, queued_only=False)
    return found[0].item_id if found else None


async def run() -> None:
    print(f"{'':10}{'questions':>10}" + "".join(f"{column:>13}" for column in COLUMNS))
    met = True
    with tempfile.TemporaryDirectory(prefix="memos-bench-", ignore_cleanup_errors=True) as folder:
        async with open_app(Settings(home=Path(folder))) as app:
            await app.indexer.wait_until_opened()
            for path in sorted(LANGUAGES.glob("*.tsv")):
                lines = path.read_text(encoding="utf-8").splitlines()
                pairs = [(statement, question) for statement, question in (line.split("\t") for line in lines)]
                counts = await measure(app, path.stem, pairs)
                print(f"{path.stem:10}{len(pairs):10}" + "".join(f"{counts[column]:13}" for column in COLUMNS))
                met = met and min(counts["words"], counts["full text"]) >= GOAL * len(pairs)
    print(verdict(f"the right statement is first by words alone for at least {GOAL:.0%} in each language", met=met))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    anyio.run(run)


if __name__ == "__main__":
    main()
