"""The search index and the embedder as the services see them: ports and their data types.

The index is a projection of Postgres: it proposes candidates and holds nothing that cannot be built again. An item (a
memory, a tool or a past task) is one or more passages; each passage is a point with a dense and a BM25 vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias
from uuid import UUID

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    Vector: TypeAlias = NDArray[float32]
else:  # importing numpy takes a tenth of a second, and an engine answers before it needs a vector
    Vector: TypeAlias = Any

ItemKind: TypeAlias = Literal["memory", "tool", "task"]

ITEM_KINDS: Final[tuple[ItemKind, ...]] = ("memory", "tool", "task")


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Fields:
    """The payload fields of a kind that can be filtered on, by type."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]


FIELDS: Final[Mapping[ItemKind, Fields]] = {
    "memory": Fields(("agent_id", "kind", "tags", "session_id", "metadata_terms"), ("occurred_at", "expires_at")),
    "tool": Fields(words=("required_capabilities",), numbers=()),
    "task": Fields(words=(), numbers=()),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """The model and vector size of a generation of the index; a generation of another shape is rebuilt."""

    model: str
    dimensions: int


class WeightedText(NamedTuple):
    """A text whose words find an item. `weight`: how much they count, 1 for the item's own."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of an item's text that fits the model's window, with its dense vector and the texts that find it.

    A word that is in several weighted_texts counts with its highest weight.
    """

    span: Span
    vector: Vector
    weighted_texts: Sequence[WeightedText]


class ItemState(NamedTuple):
    """What an item's points are made of: the version of its row, and a digest of its neighbours, None without any.

    Points whose state differs from that of the record are out of date.
    """

    version: int
    context: str | None = None


class SequenceRange(NamedTuple):
    """The items whose rows have these sequence numbers, both ends included."""

    first: int
    last: int


ALL_ITEMS: Final = SequenceRange(0, 2**53 - 1)
"""Floats, in which Qdrant compares numbers, are exact up to this end."""


def states_digest(states: Mapping[UUID, ItemState]) -> str:
    """Return a digest of the states of items, by which two sides can be compared page by page."""
    lines = (
        f"{item} {state.version}" if state.context is None else f"{item} {state.version} {state.context}"
        for item, state in sorted(states.items())
    )
    return md5(",".join(lines).encode(), usedforsecurity=False).hexdigest()


class Group(NamedTuple):
    """The session or file that an item is a part of: `name` is a digest, `words` are those of a file's own name."""

    kind: Literal["session", "file"]
    name: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One item as the index holds it; `sequence` is the number of its row."""

    item_id: UUID
    sequence: int
    state: ItemState
    namespace: str
    passages: Sequence[Passage]
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    group: Group | None = None


@dataclass(frozen=True, slots=True)
class IndexFilter:
    """Conditions that a point must satisfy together; they are applied before the nearest points are selected.

    has_all: the field holds each of these words.  subset_of: the field holds no word outside these.
    at_least / at_most: the number is there and within the bound.  not_expired_by: the number is missing or greater.
    """

    namespace: str
    has_all: Mapping[str, Sequence[str]] = field(default_factory=dict)
    subset_of: Mapping[str, Sequence[str]] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    not_expired_by: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexQuery:
    """A question or one of its sentences. Without a vector of the generation's model, only words are searched.

    model: that of the vector, None for the one that the index was opened for.
    """

    text: str
    vector: Vector | None
    model: str | None = None


class Match(NamedTuple):
    """An item and its best passage in one lane, with that lane's raw score (cosine, BM25 or ts_rank).

    item: its id as text. A search handles each candidate's id some ten times, and UUIDs compute their hash in Python.
    """

    item: str
    score: float
    span: Span
    group: Group | None = None

    @property
    def item_id(self) -> UUID:
        return UUID(self.item)


@dataclass(frozen=True, slots=True)
class Lanes:
    """The matches of each lane for a question, best first, at most one match an item in a lane.

    Complete: an item that any lane of any question proposed has its score in each; in `bm25` only if it shares a word.
    """

    dense: Sequence[Match] = ()
    bm25: Sequence[Match] = ()


@dataclass(frozen=True, slots=True)
class SettingMismatch:
    """A setting that only the creation of an index applies, and that has changed since."""

    kind: ItemKind
    setting: str
    found: str
    configured: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """The current contents of the index. `points` counts passages, `items` the memories and tools they belong to.

    `mismatches` are settings that it was created without; the embedded index has none.
    """

    generation: str
    shape: Shape
    items: Mapping[ItemKind, int]
    points: Mapping[ItemKind, int]
    mismatches: Sequence[SettingMismatch] = ()


class Draft(Protocol):
    """A generation that is being built beside the current one; it is not searched yet."""

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None: ...

    async def commit(self) -> None:
        """Build the graph and swap this generation in as the current one.

        The old one is kept if it is of another shape, in place of one that was kept before, and removed otherwise.
        """

    async def discard(self) -> None: ...


class VectorIndex(Protocol):
    """The index of passages. Every method raises `IndexUnavailable` when the index cannot be reached."""

    async def open(self, shape: Shape) -> None:
        """Open the current generation, or create an empty one. Cheap and harmless when it is open already."""

    @property
    def exclusive(self) -> bool:
        """Whether only one process at a time can hold this index."""

    @property
    def outdated(self) -> bool:
        """Whether the current generation was built for another shape than `open` named: it takes no `put`."""

    @property
    def shape(self) -> Shape | None:
        """The shape of the generation that answers now, None while none is open."""

    @property
    def generation(self) -> str | None:
        """The name of the generation that answers now, None while none is open."""

    async def wants_graph(self) -> bool:
        """Whether a new graph would answer faster than this one (too many points are outside it)."""

    async def put(self, kind: ItemKind, entries: Sequence[Entry]) -> None:
        """Store these items' passages in place of whatever the index held of them."""

    async def drop(self, kind: ItemKind, item_ids: Sequence[UUID]) -> None: ...

    async def search(
        self, kind: ItemKind, questions: Sequence[IndexQuery], where: IndexFilter, limit: int
    ) -> list[Lanes]:
        """Return the lanes of each question: each proposes items, and all score what any proposed.

        The first question proposes up to `limit` items by either lane, those after it together about as many.
        """

    async def states(self, kind: ItemKind, of: Sequence[UUID] | SequenceRange) -> dict[UUID, ItemState]:
        """Return the state at which the index holds those of these items, or all in this range, that it holds."""

    async def count(self, kind: ItemKind, of: SequenceRange) -> int:
        """Return how many points the items in this range have."""

    async def draft(self, shape: Shape) -> Draft:
        """Start an empty generation beside the current one. Later writes to the current one do not reach it."""

    async def copy(self) -> Draft:
        """Start a generation with the points of the current one, to be committed with a new graph."""

    async def restore(self) -> None:
        """Exchange the current generation for the kept one, if the kept one has the shape that `open` named."""

    async def prune(self) -> bool:
        """Remove the kept generation; return whether there was one. It need not be open."""

    async def report(self) -> IndexReport: ...

    async def close(self) -> None: ...


class Embedder(Protocol):
    """Embeds texts. Every method raises `EmbedderUnavailable` when the model cannot be loaded."""

    @property
    def model(self) -> str: ...

    async def shape(self) -> Shape:
        """Return the model's name and the size of its vectors, loading it if need be."""

    async def split(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return, for each text, spans that each fit the model's window and together cover the text."""

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts that fit the window, as documents."""

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        """Embed texts as questions; longer texts are cut at the window."""

    async def reads(self, text: str) -> bool:
        """Return whether the model knows words of the text's script, so that its vector says what it is about."""
