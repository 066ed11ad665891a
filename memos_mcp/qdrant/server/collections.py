"""The collections of one installation on a Qdrant server, and which of them its aliases name."""

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import anyio

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import ITEM_KINDS, Entry, ItemKind, Shape
from memos_mcp.qdrant.points import FORMAT, write_batches

if TYPE_CHECKING:  # importing qdrant_client takes 1.5 s
    from memos_mcp.qdrant.server.client import ServerClient

logger = logging.getLogger(__name__)

LEFTOVER_SECONDS: Final = 86_400.0
"""Age from which a generation without an alias counts as abandoned, and no longer as another process's draft."""


@dataclass(frozen=True, slots=True)
class ServerGeneration:
    """A generation's collections, and the shape that it was built for."""

    name: str
    collections: Mapping[ItemKind, str]
    shape: Shape


class Collections:
    """Finds, creates, writes and removes generations of collections under one prefix."""

    def __init__(self, client: "ServerClient", prefix: str) -> None:
        self.client = client
        self._prefix = prefix

    def alias(self, kind: ItemKind) -> str:
        return f"{self._prefix}_{kind}"

    def previous_alias(self, kind: ItemKind) -> str:
        return f"{self._prefix}_{kind}_previous"

    async def find(self) -> ServerGeneration | None:
        """Return the generation that the aliases name, or None if there is none that this version can read."""
        return await self._find(self.alias)

    async def find_previous(self) -> ServerGeneration | None:
        """Return the generation that is kept, or None if there is none that this version can read."""
        return await self._find(self.previous_alias)

    async def _find(self, alias: Callable[[ItemKind], str]) -> ServerGeneration | None:
        aliases = await self.client.aliases()
        if not all(alias(kind) in aliases for kind in ITEM_KINDS):
            return None
        collections = {kind: aliases[alias(kind)] for kind in ITEM_KINDS}
        about = await self.client.about(collections["memory"])
        if about.get("format") != FORMAT:
            return None
        shape = Shape(str(about["model"]), int(about["dimensions"]))
        return ServerGeneration(collections["memory"].rpartition("_")[2], collections, shape)

    async def create(self, shape: Shape) -> ServerGeneration:
        name = uuid4().hex[:12]
        generation = ServerGeneration(name, {kind: f"{self.alias(kind)}_{name}" for kind in ITEM_KINDS}, shape)
        about = {"format": FORMAT, "model": shape.model, "dimensions": shape.dimensions, "created": time.time()}
        try:
            for kind, collection in generation.collections.items():
                await self.client.create(collection, kind, shape, about)
        except BaseException:
            await self.remove(generation)
            raise
        return generation

    async def make_current(self, generation: ServerGeneration, previous: ServerGeneration | None = None) -> None:
        """Make the aliases name this generation, and those of the previous one that, in one step for both kinds."""
        named = {self.alias(kind): collection for kind, collection in generation.collections.items()}
        if previous is not None:
            named |= {self.previous_alias(kind): collection for kind, collection in previous.collections.items()}
        await self.client.point_aliases(named)

    async def prune(self) -> bool:
        """Remove the generation that is kept; return whether there was one."""
        kept = await self.find_previous()
        if kept is None:
            return False
        await self.client.delete_aliases([self.previous_alias(kind) for kind in ITEM_KINDS])
        await self.remove(kept)
        return True

    async def write(self, kind: ItemKind, collection: str, entries: Sequence[Entry]) -> None:
        for batch in write_batches(entries):
            if batch.points:
                await self.client.upsert(kind, collection, batch.points)
            for count, items in batch.complete.items():
                await self.client.delete(collection, items, from_passage=count)

    async def remove(self, generation: ServerGeneration) -> None:
        """Delete a generation's collections, unless an alias names them: a swap may succeed without a response.

        A collection that cannot be deleted now is a leftover that a later draft deletes.
        """
        with anyio.CancelScope(shield=True):
            try:
                named = set((await self.client.aliases()).values())
                for collection in set(generation.collections.values()) - named:
                    await self.client.delete_collection(collection)
            except IndexUnavailable:
                logger.warning("Collections that are no longer needed could not be removed yet")

    async def remove_leftovers(self) -> None:
        """Delete the collections of abandoned drafts."""
        named = set((await self.client.aliases()).values())
        ours = re.compile(rf"{re.escape(self._prefix)}_({'|'.join(ITEM_KINDS)})_[0-9a-f]{{12}}")
        for collection in await self.client.collections():
            if ours.fullmatch(collection) and collection not in named:
                created = (await self.client.about(collection)).get("created", 0.0)
                if time.time() - float(created) > LEFTOVER_SECONDS:
                    await self.client.delete_collection(collection)
