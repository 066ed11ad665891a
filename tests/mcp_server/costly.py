"""Texts that take more characters in JSON than they have."""

from hypothesis import strategies as st

LETTERS = ["word ", "x", '"', "\\", "\x01", "é世", "😀 ", "\n\t "]


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts of any length up to `longest`, with characters that take one to six characters in JSON."""
    return st.builds(lambda unit, size: (unit * size)[:size], st.sampled_from(LETTERS), st.integers(1, longest))
