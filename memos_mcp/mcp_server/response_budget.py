"""Keeps answers within the size that clients show to a model, and reports what was left out. Pure.

Sizes are characters of the compact JSON text: a quote or a control character in the content counts as several.
"""

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from typing import Any, Final

from memos_mcp.domain.index import Span
from memos_mcp.domain.memory import MemoryPage
from memos_mcp.domain.tool import ToolPage
from memos_mcp.retrieval import pagination

DEFAULT_CHARS: Final = 8_000
HARD_CHARS: Final = 40_000
CHARS_PER_TOKEN: Final = 4
MIN_TOKENS: Final = 200  # what one hit needs for its id, a few lines of content, a cursor and a note
MAX_TOKENS: Final = HARD_CHARS // CHARS_PER_TOKEN

USEFUL_CHARS: Final = 400
MIN_DESCRIPTION_CHARS: Final = 120  # enough of a description to distinguish one tool from another
SHARE_CHARS: Final = 1_200
WORD_CHARS: Final = 32

_MARK_CHARS: Final = len(',"omitted":["description"]')

_SPARED_LAST: Final = (
    (),
    ("metadata",),
    ("metadata", "tags"),
    ("metadata", "tags", "earlier", "related"),
    (
        "metadata",
        "tags",
        "earlier",
        "related",
        "signals",
        "session_id",
        "agent_id",
        "importance",
        "created_at",
        "version",
    ),
)


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact(value: object) -> str:
    """Return JSON in the form that is sent: no spaces, only the escapes that JSON requires."""
    return _ENCODER.encode(value)


def fit_memories(page: MemoryPage, found: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """Return the answer with as many of these hits as fit into `limit` characters; the first is always included."""
    limit = min(limit, HARD_CHARS)
    answer: dict[str, Any] = {
        "memories": found,
        "total": page.total,
        "next_cursor": _cursor(page, len(found)) if page.more and found else None,
        "confident": page.confident,
        "degraded": page.degraded,
    }
    if sum(len(memory["content"]) for memory in found) <= limit and _size(answer) <= limit:
        return answer
    longest_cursor = max((_cursor(page, count) for count in range(1, len(found) + 1)), key=len)
    longest = {"memories": [], "next_cursor": longest_cursor, "note": _memory_note(len(found), len(found))}
    shown = _fit(page, found, limit - _size(answer | longest))
    left_out = len(found) - len(shown)
    answer |= {"memories": shown, "next_cursor": _cursor(page, len(shown)) if page.more or left_out else None}
    note = _memory_note(left_out, sum("excerpt" in memory for memory in shown))
    return answer | ({"note": note} if note else {})


def _cursor(page: MemoryPage, shown: int) -> str:
    """Return the cursor that continues after the first `shown` hits."""
    return pagination.encode(page.hits[shown - 1].position, page.fingerprint)


def _fit(page: MemoryPage, found: Sequence[Mapping[str, Any]], available: int) -> list[Mapping[str, Any]]:
    sizes = [_size_up_to_the_limit(memory) + 1 for memory in found]
    rest = sum(sizes)
    shown: list[Mapping[str, Any]] = []
    for hit, memory, size in zip(page.hits, found, sizes, strict=True):
        rest -= size
        share = min(available, max(available - rest, available // (len(found) - len(shown)), SHARE_CHARS))
        fitting = _fit_memory(memory, hit.span or Span(0, 0), available - 1, share - 1, first=not shown)
        if fitting is None:
            break
        shown.append(fitting)
        available -= _size(fitting) + 1
    return shown


def fit_tools(
    page: ToolPage, found: Sequence[Mapping[str, Any]], schemas: Sequence[Mapping[str, Any]] | None
) -> dict[str, Any]:
    """Return the answer with as many of these tools as fit; with `schemas`, the first one always has its schemas.

    Descriptions are shortened before a tool is left out.
    """
    answer: dict[str, Any] = {
        "tools": [{**tool, **own} for tool, own in zip(found, schemas or [{}] * len(found), strict=True)],
        "total": page.total,
        "has_more": page.total > len(found),
        "withheld": page.withheld,
        "confident": page.confident,
        "degraded": page.degraded,
    }
    if _size(answer) <= DEFAULT_CHARS:
        return answer
    count = len(found)
    longest = {"tools": [], "has_more": False, "note": _tool_note(count, count, count if schemas else 0, asked=count)}
    available = DEFAULT_CHARS - _size(answer | longest)
    shown = _fit_tools(found, available)
    available -= sum(_size(tool) + 1 for tool in shown)
    with_schemas, bare = (shown, 0) if schemas is None else _with_schemas(shown, schemas, available)
    answer |= {"tools": with_schemas, "has_more": page.total > len(shown)}
    note = _tool_note(count - len(shown), sum("omitted" in tool for tool in shown), bare, asked=count)
    return answer | ({"note": note} if note else {})


def excerpt(text: str, span: Span, available: int) -> Span:
    """Return the widest span around `span` whose text fits into `available` characters of JSON, cut between words."""

    def cost(width: int) -> int:
        return _size(text[slice(*_around(text, span, width))]) - 2

    width = bisect_right(range(1, min(len(text), available) + 1), available, key=cost)
    return _at_words(text, _around(text, span, width))


def _fit_memory(
    memory: Mapping[str, Any], span: Span, available: int, share: int, *, first: bool
) -> Mapping[str, Any] | None:
    """Return the whole memory if it fits, else an excerpt of at most `share`, which spares space for the next ones."""
    for spared in _SPARED_LAST if first else _SPARED_LAST[:1]:
        slim = _without(memory, spared)
        if _size_up_to_the_limit(slim) <= available:
            return slim
        min_chars = 1 if spared == _SPARED_LAST[-1] else USEFUL_CHARS
        if (cut := _cut(slim, span, share, min_chars)) is not None:
            return cut
    return None


def _without(item: Mapping[str, Any], spared: Sequence[str]) -> dict[str, Any]:
    omitted = [*item.get("omitted", ()), *(name for name in spared if item.get(name))]
    slim = {name: value for name, value in item.items() if name not in spared}
    return slim | ({"omitted": omitted} if omitted else {})


def _cut(memory: Mapping[str, Any], span: Span, available: int, min_chars: int) -> Mapping[str, Any] | None:
    """Replace the content with an excerpt that fits; return None if it would have fewer than `min_chars` characters."""
    content: str = memory["content"]
    length = len(content)
    bare = {**memory, "content": "", "excerpt": {"start": length, "end": length, "length": length}}
    remaining = available - _size(bare)
    if remaining < min_chars:
        return None
    part = excerpt(content, span, remaining)
    return bare | {
        "content": content[slice(*part)],
        "excerpt": {"start": part.start, "end": part.end, "length": length},
    }


def _around(text: str, span: Span, width: int) -> Span:
    """Return the span of `width` characters around `span`; a wider one contains every narrower one."""
    before = max(0, width - (span.end - span.start)) // 2
    start = max(0, min(span.start - before, len(text) - width))
    return Span(start, start + width)


def _at_words(text: str, part: Span) -> Span:
    """Move both cuts inward to the next white space, if there is one within `WORD_CHARS` characters."""
    start, end = part
    if start > 0 and not text[start - 1].isspace():
        start += next((at + 1 for at, char in enumerate(text[start : start + WORD_CHARS]) if char.isspace()), 0)
    if end < len(text) and not text[end].isspace():
        end -= next((at for at, char in enumerate(reversed(text[end - WORD_CHARS : end]), 1) if char.isspace()), 0)
    return Span(start, end) if start < end else part


def _fit_tools(found: Sequence[Mapping[str, Any]], available: int) -> list[Mapping[str, Any]]:
    """Return the first of these tools that fit, with descriptions cut only as far as it takes to fit all of them.

    Long lists of capabilities are dropped before descriptions become shorter than useful.
    """
    if _taken([_sizes(tool) for tool in found], USEFUL_CHARS) > available:
        found = [_without_long_capabilities(tool) for tool in found]
    sizes = [_sizes(tool) for tool in found]
    longest = max(description for _, description in sizes)
    levels = range(1, int(longest * sqrt(len(found))) + 2)  # at the last one even the last tool is shown whole
    level = bisect_right(levels, available, key=lambda level: _taken(sizes, level))
    shown: list[Mapping[str, Any]] = []
    for index, tool in enumerate(found):
        fitting = _cut_description(tool, _cap(index, level))
        available -= _size(fitting) + 1
        if available < 0:
            break
        shown.append(fitting)
    return shown


def _cap(index: int, level: int) -> int:
    """Return how much of the description of the tool at `index` is shown, in characters of JSON.

    It falls slowly, to a third for the tenth tool, because the best tool for a need is often not the first.
    """
    return MIN_DESCRIPTION_CHARS + int(level / sqrt(index + 1))


def _sizes(tool: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size of a tool without its description, and the size of the description."""
    return _size({**tool, "description": ""}) + 1, _size(tool["description"]) - 2


def _taken(sizes: Sequence[tuple[int, int]], level: int) -> int:
    """Return the maximum size of these tools when their descriptions are cut at a level."""
    return sum(bare + min(full, _cap(index, level) + _MARK_CHARS) for index, (bare, full) in enumerate(sizes))


def _cut_description(tool: Mapping[str, Any], cap: int) -> Mapping[str, Any]:
    """Cut a description to `cap` characters of JSON, unless marking the cut would cost as much as it saves."""
    description: str = tool["description"]
    if _size(description) - 2 <= cap + _MARK_CHARS:
        return tool
    part = excerpt(description, Span(0, 0), cap)
    omitted = ["description", *tool.get("omitted", ())]
    return {**tool, "description": description[slice(*part)], "omitted": omitted}


def _without_long_capabilities(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    long = _size(tool["required_capabilities"]) > MIN_DESCRIPTION_CHARS
    return _without(tool, ["required_capabilities"]) if long else tool


def _with_schemas(
    tools: Sequence[Mapping[str, Any]], schemas: Sequence[Mapping[str, Any]], available: int
) -> tuple[list[Mapping[str, Any]], int]:
    """Add schemas while they fit, and always to the first tool; also return the number of tools without them."""
    answered: list[Mapping[str, Any]] = []
    bare = 0
    for index, (tool, own) in enumerate(zip(tools, schemas, strict=False)):
        cost = _size(own) - 1 if own else 0
        if index == 0 or cost <= available:
            answered.append({**tool, **own})
            available -= cost
        else:
            answered.append(tool)
            bare += 1
    return answered, bare


def _memory_note(left_out: int, excerpts: int) -> str:
    return " ".join(_memory_notes(left_out, excerpts))


def _memory_notes(left_out: int, excerpts: int) -> Iterator[str]:
    if left_out:
        yield f"{left_out} more did not fit: call again with cursor, a smaller limit or max_tokens up to {MAX_TOKENS}."
    if excerpts:
        yield f"{excerpts} shown in part: a larger max_tokens shows more, memory_ids with offset=excerpt.end the rest."


def _tool_note(left_out: int, shortened: int, bare: int, *, asked: int) -> str:
    return " ".join(_tool_notes(left_out, shortened, bare, asked))


def _tool_notes(left_out: int, shortened: int, bare: int, asked: int) -> Iterator[str]:
    if left_out:
        yield f"{left_out} more did not fit: ask for something narrower."
    if shortened:
        whole = ": ask again with the tool_id as query and limit=1" if asked > 1 else ""
        yield f"{shortened} shortened, see omitted{whole}."
    if bare:
        yield f"{bare} without their schemas for want of room: ask again with the tool_id as query and detail='full'."


def _size_up_to_the_limit(memory: Mapping[str, Any]) -> int:
    """Return the size of a memory; content beyond the hard limit is not measured."""
    return _size({**memory, "content": memory["content"][:HARD_CHARS]})


def _size(value: object) -> int:
    return len(compact(value))
