"""Measures and prints times: milliseconds, and percentiles without interpolation."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def timed(milliseconds: list[float]) -> Iterator[None]:
    """Append the milliseconds that the block takes."""
    began = time.perf_counter()
    yield
    milliseconds.append((time.perf_counter() - began) * 1000)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def row(name: str, milliseconds: Sequence[float]) -> str:
    """Return a row of a table: p50, p95 and the slowest."""
    p50, p95 = percentile(milliseconds, 0.5), percentile(milliseconds, 0.95)
    return f"{name:42} p50 {p50:8.2f} ms   p95 {p95:8.2f} ms   max {max(milliseconds):8.2f} ms"


def verdict(bar: str, *, met: bool) -> str:
    """Return the line that says whether a bar is met."""
    return f"bar: {bar}: {'PASS' if met else 'FAIL'}"
