"""The variants of `ablation.py`: the product with one part removed or replaced.

A part is named by its import path, so a variant fails when its part has moved, instead of changing nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from unittest.mock import patch

from memos_mcp.domain.index import ITEM_KINDS, Entry, Group, Lanes, Match, Passage
from memos_mcp.domain.memory import Memory
from memos_mcp.domain.tool import Tool
from memos_mcp.services.projections import MemoryProjection, ToolProjection, tool_text
from memos_mcp.services.search import CANDIDATES_PER_HIT, MIN_CANDIDATES

RRF = 60
QDRANTS_LENGTH = 256.0
NO_LIFT = 1e9
"""A sharpness at which the other chunks of a file add nothing to its best one."""

Transform = Callable[[Lanes, int], Lanes]
"""Transforms the lanes of a question, each with up to the given number of proposals, before the ranking."""


def unchanged(lanes: Lanes, _limit: int) -> Lanes:
    """Return the lanes of the index."""
    return lanes


@dataclass(frozen=True, slots=True)
class Variant:
    """`parts`: replacements by import path. `needs_index`: whether they change the content of the index."""

    name: str
    parts: Mapping[str, Any] = field(default_factory=dict)
    transform: Transform = unchanged
    needs_index: bool = False
    of: Literal["tools", "memories", "both"] = "both"

    def applies_to(self, *, tools: bool) -> bool:
        """Return whether the variant applies to tools, or else to memories."""
        return self.of in {"both", "tools" if tools else "memories"}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Replace the parts of the product in the block."""
        with ExitStack() as stack:
            for path, part in self.parts.items():
                stack.enter_context(patch(path, part))
            yield


def lexical_alone(lanes: Lanes, _limit: int) -> Lanes:
    return Lanes(bm25=lanes.bm25)


def dense_alone(lanes: Lanes, _limit: int) -> Lanes:
    return Lanes(dense=lanes.dense)


def proposals(lanes: Lanes, limit: int) -> Lanes:
    """Return each lane's own proposals, which come before those of the other lane."""
    return Lanes(lanes.dense[:limit], lanes.bm25[:limit])


def divided_by_best(lanes: Lanes, _limit: int) -> Lanes:
    """Divide each lane's scores by its best score."""
    return Lanes(_scaled(lanes.dense, 0.0), _scaled(lanes.bm25, 0.0))


def min_max_scaled(lanes: Lanes, limit: int) -> Lanes:
    """Scale the proposed cosines to 0..1 between the worst and the best, and divide BM25 by its best, as is common."""
    own = proposals(lanes, limit)
    lowest = min((match.score for match in own.dense), default=0.0)
    return Lanes(_scaled(own.dense, lowest), _scaled(own.bm25, 0.0))


def by_rank(lanes: Lanes, _limit: int) -> Lanes:
    """Score by the rank in each lane alone: reciprocal rank fusion."""
    return Lanes(_ranked(lanes.dense), _ranked(lanes.bm25))


_memory_entry = MemoryProjection.entry
_tool_words = ToolProjection.lexical_text


def own_words(projection: MemoryProjection, row: Memory, context: str | None, passages: Sequence[Passage]) -> Entry:
    """Drop the words of a memory's neighbours; its vectors are still blended with theirs."""
    own = [replace(passage, weighted_texts=passage.weighted_texts[:1]) for passage in passages]
    return _memory_entry(projection, row, context, own)


def without_parameters(projection: ToolProjection, row: Tool, passage: str) -> str:
    return _tool_words(projection, _with_schema(row, {"title", "description"}), passage)


def parameters_only(projection: ToolProjection, row: Tool, passage: str = "") -> str:
    """Return the words of a tool without the description of its schema, which names the server in the datasets."""
    return _tool_words(projection, _with_schema(row, {"title", "description"}, keep=False), passage)


def on_two_lines(_projection: ToolProjection, row: Tool) -> str:
    """Return a tool's text with names and description on lines of their own."""
    return tool_text(replace(row, description="")).removesuffix(": ") + "\n" + row.description


def _scaled(matches: Sequence[Match], lowest: float) -> list[Match]:
    best = max((match.score for match in matches), default=0.0)
    span = best - lowest
    return [match._replace(score=(match.score - lowest) / span if span > 0 else 0.0) for match in matches]


def _ranked(matches: Sequence[Match]) -> list[Match]:
    order = sorted(matches, key=lambda match: -match.score)
    return [match._replace(score=1 / (RRF + rank)) for rank, match in enumerate(order, start=1)]


def _with_schema(item: Tool, names: set[str], *, keep: bool = True) -> Tool:
    """Return the tool with these keys of its schema only, or without them."""
    schema = item.request_schema or {}
    return replace(item, request_schema={name: part for name, part in schema.items() if (name in names) == keep})


def _weighing(weight: float) -> dict[str, Any]:
    return {"memos_mcp.retrieval.fusion.WORD_WEIGHT": {"memory": weight, "tool": weight}}


def _lifting(sharpness: float) -> dict[str, Any]:
    return {"memos_mcp.retrieval.files.SHARPNESS": sharpness}


def _long(words: float) -> dict[str, Any]:
    return {"memos_mcp.qdrant.bm25.AVERAGE_LENGTH": dict.fromkeys(ITEM_KINDS, words)}


def _proposing(candidates: int) -> dict[str, Any]:
    """Return the parts for this number of candidates at ten hits, and in proportion at more hits."""
    return {
        "memos_mcp.services.search.MIN_CANDIDATES": candidates,
        "memos_mcp.services.search.CANDIDATES_PER_HIT": CANDIDATES_PER_HIT * candidates // MIN_CANDIDATES,
    }


def _described(part: str, method: Callable[..., str]) -> dict[str, Any]:
    """Return the part that replaces a text of a tool, `embedding_text` or `lexical_text`."""
    return {f"memos_mcp.services.projections.ToolProjection.{part}": method}


def _undivided(_question: str) -> list[str]:
    return []


def _passage_alone(_projection: MemoryProjection, _row: Memory, passage: str) -> str:
    return passage


def _text_alone(_projection: ToolProjection, row: Tool, _passage: str) -> str:
    return tool_text(row)


def _of_session(item: Memory) -> Group | None:
    return None if item.session_id is None else Group("file", item.session_id)


def _uncut(text: str) -> str:
    return text


def _untitled(_item: Memory) -> str:
    return ""


_WHOLE_QUESTION = {"memos_mcp.services.search.sentences": _undivided}

FULL = Variant("the product")

LANES = (
    Variant("its words alone", _WHOLE_QUESTION, lexical_alone),
    Variant("its vectors alone", _WHOLE_QUESTION, dense_alone),
)

RANKING = (
    Variant("the question not cut into sentences", _WHOLE_QUESTION),
    Variant("no chunk of a file lifted by the others", _lifting(NO_LIFT), of="memories"),
    *(
        Variant(f"lifted with a sharpness of {sharpness:g}", _lifting(sharpness), of="memories")
        for sharpness in (10.0, 30.0)
    ),
    Variant("no names of files", {"memos_mcp.retrieval.named_files.NAMED": 0.0}, of="memories"),
    *(Variant(f"a point of BM25 is worth {weight}", _weighing(weight)) for weight in (0.01, 0.02, 0.03, 0.04, 0.06)),
    Variant("each lane divided by its best, half and half", _weighing(1.0), divided_by_best),
    Variant("proposals only, cosine min-max scaled, half and half", _weighing(1.0), min_max_scaled),
    # Without the lift, which is meant for cosines: a rank contributes 0.016 at most.
    Variant("reciprocal rank fusion, k = 60", _weighing(1.0) | _lifting(NO_LIFT), by_rank),
    Variant("0 for items that a lane did not propose", transform=proposals),
    *(Variant(f"{count} candidates of each lane", _proposing(count)) for count in (25, 100, 200)),
)

INDEX = (
    Variant("no CamelCase words cut", {"memos_mcp.qdrant.bm25.split_camel_case": _uncut}, needs_index=True),
    Variant("no snake_case words joined", {"memos_mcp.qdrant.bm25.join_snake_case": _uncut}, needs_index=True),
    Variant(
        "no title of a definition",
        {"memos_mcp.services.projections.title_of": _untitled},
        needs_index=True,
        of="memories",
    ),
    *(
        Variant(f"an average length of {words:g} words", _long(words), needs_index=True)
        for words in (30.0, 60.0, QDRANTS_LENGTH)
    ),
    Variant("no neighbours", {"memos_mcp.retrieval.context.MAX_WEIGHT": 0.0}, needs_index=True, of="memories"),
    Variant(
        "no words of neighbours",
        {"memos_mcp.services.projections.MemoryProjection.entry": own_words},
        needs_index=True,
        of="memories",
    ),
    Variant("no blending with neighbours", {"memos_mcp.retrieval.context.BLEND": 0.0}, needs_index=True, of="memories"),
    Variant(
        "messages of a session lifted like chunks of a file",
        {"memos_mcp.services.projections.group_of": _of_session},
        needs_index=True,
        of="memories",
    ),
    Variant(
        "no date",
        {"memos_mcp.services.projections.MemoryProjection.lexical_text": _passage_alone},
        needs_index=True,
        of="memories",
    ),
    Variant("no words of the schema", _described("lexical_text", _text_alone), needs_index=True, of="tools"),
    Variant("no words of parameters", _described("lexical_text", without_parameters), needs_index=True, of="tools"),
    Variant("no words of the server", _described("lexical_text", parameters_only), needs_index=True, of="tools"),
    Variant(
        "parameters in the vector, too", _described("embedding_text", parameters_only), needs_index=True, of="tools"
    ),
    Variant("names on a line of their own", _described("embedding_text", on_two_lines), needs_index=True, of="tools"),
)
