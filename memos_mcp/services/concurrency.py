"""Runs calls of the stores side by side."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import anyio

from memos_mcp.domain.errors import MemosError

Result = TypeVar("Result")
One = TypeVar("One")
Other = TypeVar("Other")


async def gather(calls: Sequence[Callable[[], Awaitable[Result]]], limit: int) -> list[Result]:
    """Run calls concurrently; return their results in order. The first anticipated failure cancels the others."""
    results: dict[int, Result] = {}
    failure: MemosError | None = None
    limiter = anyio.CapacityLimiter(limit)

    async def run(index: int, call: Callable[[], Awaitable[Result]]) -> None:
        async with limiter:
            results[index] = await call()

    try:
        async with anyio.create_task_group() as tasks:
            for index, call in enumerate(calls):
                tasks.start_soon(run, index, call)
    except* MemosError as group:  # raised below: an `except*` would wrap it again
        failure = _first(group)
    if failure is not None:
        raise failure
    return [results[index] for index in range(len(calls))]


async def both(one: Callable[[], Awaitable[One]], other: Callable[[], Awaitable[Other]]) -> tuple[One, Other]:
    """Return the results of two calls that run concurrently."""
    first, second = await gather([partial(_any, one), partial(_any, other)], 2)
    return first, second


async def _any(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


def _first(group: BaseExceptionGroup[Any]) -> MemosError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
