"""Measures what counts as a near-duplicate: cosines of statements that say nearly the same, and of others.

    python benchmarks/near_duplicates.py [HOME]

The pairs below are embedded by the default model. With the home of a dataset, as `quality --keep` keeps it, the nearest
other content of up to 3,000 of its memories is found as well: how often a store of ordinary messages would name one.
`services/near_duplicates.py` has the cosine from which one is named.
"""

import argparse
import random
import tempfile
from pathlib import Path

import anyio
import numpy as np

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.services.near_duplicates import IS_SIMILAR
from memos_mcp.settings import DEFAULT_MODEL

SAMPLE = 3_000
LEVELS = (0.8, 0.85, 0.9, 0.95)

SAME = (
    ("Mara's phone number is 555 0142.", "Mara's phone number is 555 0199."),
    ("The weekly meeting is on Tuesday at ten.", "The weekly meeting is on Thursday at ten."),
    ("The staging database runs on port 5433.", "The staging database runs on port 5434."),
    ("Jonas prefers tea in the morning.", "In the morning Jonas prefers tea."),
    ("The release is planned for 3 May.", "The release is planned for 10 May."),
    ("Backups are kept for thirty days.", "Backups are kept for ninety days."),
    ("The spare key hangs behind the pantry shelf.", "The spare key is hanging behind the shelf of the pantry."),
    ("Invoices are sent to the office in Lisbon.", "Invoices are sent to the office in Porto."),
    ("The build fails when the cache is cold.", "The build fails if the cache is cold."),
    ("Aiko is allergic to peanuts.", "Aiko is allergic to peanuts and walnuts."),
    ("The API limit is 100 requests a minute.", "The API limit is 200 requests a minute."),
    ("Samuel's birthday is on 4 March.", "Samuel has his birthday on 4 March."),
)
OTHER = (
    ("Mara's phone number is 555 0142.", "Mara's e-mail address is mara@example.com."),
    ("The weekly meeting is on Tuesday at ten.", "The weekly report is due on Friday."),
    ("The staging database runs on port 5433.", "The production database has two replicas."),
    ("Jonas prefers tea in the morning.", "Jonas runs ten kilometres in the morning."),
    ("The release is planned for 3 May.", "The release notes are written by Priya."),
    ("Backups are kept for thirty days.", "Backups are encrypted with the team's key."),
    ("The spare key hangs behind the pantry shelf.", "The pantry shelf was painted last year."),
    ("Invoices are sent to the office in Lisbon.", "The office in Lisbon closes at six."),
    ("The build fails when the cache is cold.", "The build takes eleven minutes."),
    ("Aiko is allergic to peanuts.", "Aiko lives in Osaka."),
    ("The API limit is 100 requests a minute.", "The API is versioned by its path."),
    ("Samuel's birthday is on 4 March.", "Samuel's passport expires in March."),
)

_CONTENTS = """
    SELECT DISTINCT ON (content_hash) vector
      FROM agent_memories
      JOIN embeddings USING (content_hash)
     WHERE model = $1 AND vector IS NOT NULL
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, nargs="?", help="a home with the vectors of its memories")
    anyio.run(measure, parser.parse_args().home)


async def measure(home: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        embedder = FastEmbedder(DEFAULT_MODEL, Path(folder))
        for name, pairs in (("nearly the same", SAME), ("something else", OTHER)):
            vectors = np.stack(await embedder.passages([text for pair in pairs for text in pair]))
            cosines = np.sort((vectors[::2] * vectors[1::2]).sum(axis=1))
            above = int((cosines >= IS_SIMILAR).sum())
            print(f"{name}: {len(pairs)} pairs, cosines {cosines[0]:.2f} to {cosines[-1]:.2f}, ", end="")
            print(f"median {np.median(cosines):.2f}; {above} reach {IS_SIMILAR}")
    if home is not None:
        print_neighbours(await contents(home))


async def contents(home: Path) -> np.ndarray:
    """Return the vectors [N, D] of the distinct contents of a home."""
    database = Database(EmbeddedPostgres(home / "postgres"))
    try:
        async with database.everything.connection() as connection:
            rows = await connection.fetch(_CONTENTS, DEFAULT_MODEL)
    finally:
        await database.close()
    return np.stack([np.frombuffer(row["vector"], "<f4") for row in rows])


def print_neighbours(vectors: np.ndarray) -> None:
    chosen = random.Random(1).sample(range(len(vectors)), min(SAMPLE, len(vectors)))
    cosines = vectors[chosen] @ vectors.T
    cosines[np.arange(len(chosen)), chosen] = -1
    nearest = cosines.max(axis=1)
    shares = ", ".join(f"{(nearest >= level).mean():.1%} from {level}" for level in LEVELS)
    print(f"{len(chosen):,} of {len(vectors):,} contents: the nearest other one has a cosine of {shares}")


if __name__ == "__main__":
    main()
