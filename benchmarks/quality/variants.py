"""The product with one part taken away or done otherwise: what `ablation.py` asks, beside the whole.

A part is named by its place in the product, so that a variant whose part has moved fails instead of changing nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from unittest.mock import patch

from memos_mcp.domain.index import ITEM_KINDS, Entry, Lanes, Match, Passage
from memos_mcp.domain.memory import Memory
from memos_mcp.domain.tool import Tool
from memos_mcp.services.projections import MemoryProjection, ToolProjection, tool_text
from memos_mcp.services.search import CANDIDATES_PER_HIT, MIN_CANDIDATES

RRF = 60
QDRANTS_LENGTH = 256.0
NO_LIFT = 1e9
"""A sharpness at which the parts of a file add nothing to the best of them."""

Seen = Callable[[Lanes, int], Lanes]
"""What is made of a question's lanes, each of which proposed up to so many items, before they are ranked."""


def whole(lanes: Lanes, _limit: int) -> Lanes:
    """Return the lanes as the index gave them."""
    return lanes


@dataclass(frozen=True, slots=True)
class Variant:
    """`parts`: what stands at a place of the product instead. `held`: whether the index holds something else then."""

    name: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    seen: Seen = whole
    held: bool = False
    of: Literal["tools", "memories", "both"] = "both"

    def fits(self, *, tools: bool) -> bool:
        """Whether it has to do with tools, or else with memories."""
        return self.of in {"both", "tools" if tools else "memories"}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Have the product so for a while."""
        with ExitStack() as stack:
            for place, part in self.parts.items():
                stack.enter_context(patch(place, part))
            yield


def words_alone(lanes: Lanes, _limit: int) -> Lanes:
    return Lanes(bm25=lanes.bm25)


def meaning_alone(lanes: Lanes, _limit: int) -> Lanes:
    return Lanes(dense=lanes.dense)


def proposals(lanes: Lanes, limit: int) -> Lanes:
    """Return what each lane proposed itself, which comes before what others proposed."""
    return Lanes(lanes.dense[:limit], lanes.bm25[:limit])


def by_the_best(lanes: Lanes, _limit: int) -> Lanes:
    """Divide each lane's scores by its best."""
    return Lanes(_scaled(lanes.dense, 0.0), _scaled(lanes.bm25, 0.0))


def between_extremes(lanes: Lanes, limit: int) -> Lanes:
    """Bring the proposed cosines to 0..1 between the worst and the best, and divide BM25 by its best, as is common."""
    own = proposals(lanes, limit)
    least = min((match.score for match in own.dense), default=0.0)
    return Lanes(_scaled(own.dense, least), _scaled(own.bm25, 0.0))


def by_place(lanes: Lanes, _limit: int) -> Lanes:
    """Score by the place in each lane alone: reciprocal rank fusion."""
    return Lanes(_placed(lanes.dense), _placed(lanes.bm25))


_memory_entry = MemoryProjection.entry
_tool_words = ToolProjection.lexical_text


def own_words(projection: MemoryProjection, row: Memory, passages: Sequence[Passage]) -> Entry:
    """Leave out the words of a memory's neighbours; its vectors are blended with theirs all the same."""
    own = [replace(passage, weighted_texts=passage.weighted_texts[:1]) for passage in passages]
    return _memory_entry(projection, row, own)


def without_parameters(projection: ToolProjection, row: Tool, passage: str) -> str:
    return _tool_words(projection, _with_schema(row, {"title", "description"}), passage)


def parameters_only(projection: ToolProjection, row: Tool, passage: str = "") -> str:
    """Return the words of a tool without the description of its schema, which names the server in the sets."""
    return _tool_words(projection, _with_schema(row, {"title", "description"}, keep=False), passage)


def on_two_lines(_projection: ToolProjection, row: Tool) -> str:
    """Return a tool's text with names and description on lines of their own."""
    return tool_text(replace(row, description="")).removesuffix(": ") + "\n" + row.description


def _scaled(matches: Sequence[Match], least: float) -> list[Match]:
    best = max((match.score for match in matches), default=0.0)
    span = best - least
    return [replace(match, score=(match.score - least) / span if span > 0 else 0.0) for match in matches]


def _placed(matches: Sequence[Match]) -> list[Match]:
    order = sorted(matches, key=lambda match: -match.score)
    return [replace(match, score=1 / (RRF + place)) for place, match in enumerate(order, start=1)]


def _with_schema(item: Tool, names: set[str], *, keep: bool = True) -> Tool:
    """Return the tool with these keys of its schema only, or without them."""
    schema = item.request_schema or {}
    return replace(item, request_schema={name: part for name, part in schema.items() if (name in names) == keep})


def _weighing(weight: float) -> dict[str, Any]:
    return {"memos_mcp.retrieval.fusion.WORD_WEIGHT": {"memory": weight, "tool": weight}}


def _lifting(sharpness: float) -> dict[str, Any]:
    return {"memos_mcp.retrieval.fusion.SHARPNESS": sharpness}


def _long(words: float) -> dict[str, Any]:
    return {"memos_mcp.qdrant.bm25.AVERAGE_LENGTH": dict.fromkeys(ITEM_KINDS, words)}


def _proposing(candidates: int) -> dict[str, Any]:
    """Return the parts for so many candidates where ten hits are asked; where more are, as many times more or fewer."""
    return {
        "memos_mcp.services.search.MIN_CANDIDATES": candidates,
        "memos_mcp.services.search.CANDIDATES_PER_HIT": CANDIDATES_PER_HIT * candidates // MIN_CANDIDATES,
    }


def _described(part: str, method: Callable[..., str]) -> dict[str, Any]:
    """Return the part for another text of a tool: its `embedding_text` or its `lexical_text`."""
    return {f"memos_mcp.services.projections.ToolProjection.{part}": method}


def _undivided(_question: str) -> list[str]:
    return []


def _passage_alone(_projection: MemoryProjection, _row: Memory, passage: str) -> str:
    return passage


def _text_alone(_projection: ToolProjection, row: Tool, _passage: str) -> str:
    return tool_text(row)


def _of_session(item: Memory) -> str | None:
    return item.session_id


def _unchanged(text: str) -> str:
    return text


_WHOLE_QUESTION = {"memos_mcp.services.search.sentences": _undivided}

FULL = Variant("the product")

LANES = (
    Variant("its words alone", _WHOLE_QUESTION, words_alone),
    Variant("its vectors alone", _WHOLE_QUESTION, meaning_alone),
)

RANKING = (
    Variant("the question not cut into sentences", _WHOLE_QUESTION),
    Variant("no part of a file lifted by the others", _lifting(NO_LIFT), of="memories"),
    *(
        Variant(f"lifted with a sharpness of {sharpness:g}", _lifting(sharpness), of="memories")
        for sharpness in (10.0, 30.0)
    ),
    *(Variant(f"a point of BM25 is worth {weight}", _weighing(weight)) for weight in (0.01, 0.02, 0.03, 0.04, 0.06)),
    Variant("each lane by its best, half and half", _weighing(1.0), by_the_best),
    Variant("proposals only, cosine between its extremes, half and half", _weighing(1.0), between_extremes),
    # Without the lift, which is meant for cosines: a place is worth 0.016 at the most.
    Variant("reciprocal rank fusion, k = 60", _weighing(1.0) | _lifting(NO_LIFT), by_place),
    Variant("what a lane did not propose has 0 there", seen=proposals),
    *(Variant(f"{count} candidates of each lane", _proposing(count)) for count in (25, 100, 200)),
)

INDEX = (
    Variant("no CamelCase words cut", {"memos_mcp.qdrant.bm25.split_camel_case": _unchanged}, held=True),
    *(
        Variant(f"an average length of {words:g} words", _long(words), held=True)
        for words in (30.0, 60.0, QDRANTS_LENGTH)
    ),
    Variant("no neighbours", {"memos_mcp.retrieval.context.MAX_WEIGHT": 0.0}, held=True, of="memories"),
    Variant(
        "no words of neighbours",
        {"memos_mcp.services.projections.MemoryProjection.entry": own_words},
        held=True,
        of="memories",
    ),
    Variant("no blending with neighbours", {"memos_mcp.retrieval.context.BLEND": 0.0}, held=True, of="memories"),
    Variant(
        "turns of a session lifted as parts of a file are",
        {"memos_mcp.services.projections.part_of": _of_session},
        held=True,
        of="memories",
    ),
    Variant(
        "no date",
        {"memos_mcp.services.projections.MemoryProjection.lexical_text": _passage_alone},
        held=True,
        of="memories",
    ),
    Variant("no words of the schema", _described("lexical_text", _text_alone), held=True, of="tools"),
    Variant("no words of parameters", _described("lexical_text", without_parameters), held=True, of="tools"),
    Variant("no words of the server", _described("lexical_text", parameters_only), held=True, of="tools"),
    Variant("parameters in the vector, too", _described("embedding_text", parameters_only), held=True, of="tools"),
    Variant("names on a line of their own", _described("embedding_text", on_two_lines), held=True, of="tools"),
)
