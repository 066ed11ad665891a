"""The generations of the embedded index on disk, and the name of the current one.

    <folder>/lock              held while any process has the index open
    <folder>/current           the name of the generation that is searched
    <folder>/previous          the name of the one before it, if that was built for another model
    <folder>/<generation>/     generation.json and one shard a kind
    <folder>/<generation>.broken   the last one that could not be read

Only the generation that `current` names is used. The previous one is kept for a return to its model. Others that exist
at the start stem from a crash and are removed.
"""

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
from memos_mcp.ipc.file_lock import try_lock
from memos_mcp.qdrant.points import FORMAT

logger = logging.getLogger(__name__)

LOCK: Final = "lock"
CURRENT: Final = "current"
PREVIOUS: Final = "previous"
ABOUT: Final = "generation.json"
BROKEN: Final = ".broken"

SPACE_BYTES: Final = 80 * 1024 * 1024
"""The three empty shards of a generation take 53 MB. The index process ends when it cannot write, and says nothing."""


@dataclass(frozen=True, slots=True)
class Generation:
    """A generation's folder, and the shape that it was built for."""

    path: Path
    shape: Shape

    @property
    def name(self) -> str:
        return self.path.name


def lacks_space(folder: Path) -> bool:
    """Whether the disk of the index is full; the folder itself may not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free < SPACE_BYTES


def lock(folder: Path) -> int:
    """Return a descriptor that locks the folder. Every process that inherits it holds the lock too."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(descriptor):
        os.close(descriptor)
        raise IndexUnavailable(
            "The search index is held by another process of this installation, which indexes for all of them."
        )
    return descriptor


def current(folder: Path) -> Generation | None:
    """Return the current generation, or None if there is none that this version can read."""
    return _named(folder, CURRENT)


def previous(folder: Path) -> Generation | None:
    """Return the generation that is kept, or None if there is none that this version can read."""
    return _named(folder, PREVIOUS)


def _named(folder: Path, file: str) -> Generation | None:
    try:
        name = (folder / file).read_text().strip()
        about = json.loads((folder / name / ABOUT).read_text())
        shape = Shape(str(about["model"]), int(about["dimensions"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        logger.exception("The description of the search index cannot be read; the index is built again")
        return None
    return Generation(folder / name, shape) if name and about.get("format") == FORMAT else None


def new_generation(folder: Path, shape: Shape) -> Generation:
    """Create the folder of a generation that is not the current one yet."""
    path = folder / _new_name()
    path.mkdir(parents=True)
    (path / ABOUT).write_text(
        json.dumps({"format": FORMAT, "model": shape.model, "dimensions": shape.dimensions}) + "\n"
    )
    return Generation(path, shape)


def _new_name() -> str:
    return uuid4().hex[:12]


def copied(generation: Generation) -> Generation:
    """Return a copy that is not the current one yet; of a failed copy nothing remains."""
    copy = Generation(generation.path.with_name(_new_name()), generation.shape)
    try:
        shutil.copytree(generation.path, copy.path)
    except BaseException:
        remove(copy.path)
        raise
    return copy


def make_current(generation: Generation) -> None:
    """Make this the generation that the next start opens. After a crash it is either this one or the one before."""
    _name(generation, CURRENT)


def replace_current(generation: Generation, old: Generation) -> None:
    """Make a generation current and keep the old one if it is of another shape; remove those that are not needed.

    After a crash in between, the old one is current still, or is removed at the next start.
    """
    folder = generation.path.parent
    kept = previous(folder)
    _name(generation, CURRENT)
    if old.shape != generation.shape:
        _name(old, PREVIOUS)
        if kept is not None and kept.name not in {old.name, generation.name}:
            remove(kept.path)


def prune(folder: Path) -> bool:
    """Remove the kept generation; return whether there was one."""
    kept, used = previous(folder), current(folder)
    (folder / PREVIOUS).unlink(missing_ok=True)
    if kept is None or used is None or kept.name == used.name:
        return False
    remove(kept.path)
    return True


def _name(generation: Generation, file: str) -> None:
    folder = generation.path.parent
    draft = folder / f"{file}.new"
    with draft.open("w") as opened:
        opened.write(generation.name + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(folder / file)


def set_aside(generation: Generation) -> None:
    """Keep an unreadable generation for inspection, in place of the one kept before."""
    for old in generation.path.parent.glob(f"*{BROKEN}"):
        shutil.rmtree(old, ignore_errors=True)
    if generation.path.exists():
        generation.path.rename(generation.path.with_name(generation.name + BROKEN))


def remove_leftovers(folder: Path, keep: Collection[str]) -> None:
    """Remove all generations but these: those that a crash interrupted."""
    for path in folder.iterdir():
        if path.is_dir() and path.suffix != BROKEN and path.name not in keep:
            remove(path)


def remove(path: Path) -> None:
    """Remove a generation's folder as far as possible; the next start removes the rest."""
    shutil.rmtree(path, ignore_errors=True)
