"""Texts that cost more characters of JSON than they have."""

from hypothesis import strategies as st

LETTERS = ["word ", "x", '"', "\\", "\x01", "é世", "😀 ", "\n\t "]


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts of any length up to `longest`, of letters that cost one to six characters of JSON."""
    return st.builds(lambda unit, size: (unit * size)[:size], st.sampled_from(LETTERS), st.integers(1, longest))
