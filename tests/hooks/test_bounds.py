"""Hooks import nothing of the server, so they write its bounds again: they must be the same."""

from memos_mcp.domain.loadout import BYTES_PER_TOKEN, MEMORY_THRESHOLDS
from memos_mcp.domain.memory import MAX_CONTENT_BYTES
from memos_mcp.hooks.messages import MAX_BYTES
from memos_mcp.hooks.recall import CHARS_PER_TOKEN, MIN_COSINE, question_for
from memos_mcp.mcp_server.response_budget import MIN_TOKENS


def test_the_bounds_of_hooks_are_those_of_the_server() -> None:
    assert MAX_BYTES == MAX_CONTENT_BYTES
    assert MEMORY_THRESHOLDS.covers == MIN_COSINE
    assert CHARS_PER_TOKEN == BYTES_PER_TOKEN
    assert question_for("x", 1)["max_tokens"] == MIN_TOKENS
