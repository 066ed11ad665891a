"""Conditions on the payload of a point, in Qdrant Edge's terms. Imported by the index process only."""

from collections.abc import Iterable

import qdrant_edge as edge

from memos_mcp.qdrant.points import ITEM


def has_word(field: str, word: str) -> edge.FieldCondition:
    """Match points whose field holds this word."""
    return edge.FieldCondition(key=field, match=edge.MatchValue(word))


def one_of(items: Iterable[str]) -> edge.FieldCondition:
    """Match points of these items."""
    return edge.FieldCondition(key=ITEM, match=edge.MatchAny(list(items)))


def in_range(field: str, bounds: edge.RangeFloat) -> edge.FieldCondition:
    """Match points whose field is a number within these bounds."""
    return edge.FieldCondition(key=field, range=bounds)
