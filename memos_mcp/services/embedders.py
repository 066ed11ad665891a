"""The embedder of each generation: while an index for another model is built, questions are embedded by the old one."""

from collections.abc import Callable
from typing import TypeAlias

from memos_mcp.domain.index import Embedder, Shape

EmbedderFactory: TypeAlias = Callable[[str], Embedder]
"""Returns the embedder of a model; nothing is loaded before its first use."""


class Embedders:
    """The configured embedder, and at most one other, which is released once no generation needs it."""

    def __init__(self, configured: Embedder, embedder_for: EmbedderFactory | None = None) -> None:
        self.configured = configured
        self._embedder_for = embedder_for
        self._other: Embedder | None = None

    def of(self, shape: Shape | None) -> Embedder | None:
        """Return the embedder for a generation of this shape, None if there is no way to get one."""
        if shape is None or shape.model == self.configured.model:
            self._other = None
            return self.configured
        if (self._other is None or self._other.model != shape.model) and self._embedder_for is not None:
            self._other = self._embedder_for(shape.model)
        return self._other
