"""The generations of the embedded index on disk, and which of them is the current one.

    <folder>/lock              held while any process has the index open
    <folder>/current           the name of the generation that is searched
    <folder>/<generation>/     generation.json and one shard a kind
    <folder>/<generation>.broken   the last one that could not be read

Only `current` makes a generation count: whatever else is found at the start was left by a crash, and is removed.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import Shape
from memos_mcp.qdrant.points import FORMAT

logger = logging.getLogger(__name__)

LOCK: Final = "lock"
CURRENT: Final = "current"
ABOUT: Final = "generation.json"
BROKEN: Final = ".broken"


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation's folder, and what it was built for."""

    path: Path
    shape: Shape

    @property
    def name(self) -> str:
        return self.path.name


def lock(folder: Path) -> int:
    """Return a descriptor that holds the folder; every process that inherits it holds the folder too."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise IndexUnavailable(
            "The search index is held by another process of this installation, which indexes for all of them."
        ) from error
    return descriptor


def current(folder: Path) -> Generation | None:
    """Return the current generation, if there is one that this version can read."""
    try:
        name = (folder / CURRENT).read_text().strip()
        about = json.loads((folder / name / ABOUT).read_text())
        shape = Shape(str(about["model"]), int(about["dimensions"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        logger.exception("What describes the search index cannot be read; it is built again")
        return None
    return Generation(folder / name, shape) if name and about.get("format") == FORMAT else None


def new_generation(folder: Path, shape: Shape) -> Generation:
    """Make the folder of a generation that is not the current one yet."""
    path = folder / uuid4().hex[:12]
    path.mkdir(parents=True)
    (path / ABOUT).write_text(
        json.dumps({"format": FORMAT, "model": shape.model, "dimensions": shape.dimensions}) + "\n"
    )
    return Generation(path, shape)


def make_current(generation: Generation) -> None:
    """Let this generation be the one that is found at the next start; a crash leaves either it or the one before."""
    folder = generation.path.parent
    written = folder / f"{CURRENT}.new"
    with written.open("w") as file:
        file.write(generation.name + "\n")
        file.flush()
        os.fsync(file.fileno())
    written.replace(folder / CURRENT)


def set_aside(generation: Generation) -> None:
    """Keep what cannot be read for whoever wants to look into it, in place of the one kept before."""
    for old in generation.path.parent.glob(f"*{BROKEN}"):
        shutil.rmtree(old, ignore_errors=True)
    if generation.path.exists():
        generation.path.rename(generation.path.with_name(generation.name + BROKEN))


def remove_leftovers(folder: Path, keep: Collection[str]) -> None:
    """Remove all generations but these: what a crash left half built or half removed."""
    for path in folder.iterdir():
        if path.is_dir() and path.suffix != BROKEN and path.name not in keep:
            remove(path)


def remove(path: Path) -> None:
    """Remove a generation's folder as far as possible; what stays is tried again at the next start."""
    shutil.rmtree(path, ignore_errors=True)
