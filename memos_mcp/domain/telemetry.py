"""What services and adapters report about their work: a port, and one that records nothing."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

Stage: TypeAlias = Literal["embed", "search", "postgres", "rank", "rerank", "index_wait"]
"""A part of a tool call. search: both lanes of the index. postgres: from the wait for a connection to its return."""

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)

ModelRole: TypeAlias = Literal["embedding", "reranker"]


@dataclass(frozen=True, slots=True)
class PoolState:
    """The connections of a Postgres pool. `waits` counts the uses that found all of them busy."""

    open: int
    in_use: int
    limit: int
    waits: int


class Telemetry(Protocol):
    """Takes what is worth knowing about the work of this process. No method raises, or waits."""

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Measure a stage of the tool call that runs in this context. Outside of a call nothing is measured."""

    def model_loaded(self, role: ModelRole, seconds: float, *, succeeded: bool) -> None:
        """Count an attempt to load a model, from any thread."""

    def quota_exceeded(self, limit: str, count: int = 1) -> None:
        """Count what a quota has refused or deferred; `limit` is one of its names."""

    def watch_pool(self, state: Callable[[], PoolState]) -> None:
        """Call this for the state of the pool whenever somebody asks for it."""


class NoTelemetry:
    """The port, for what is built without one."""

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:  # noqa: ARG002 - the port's
        yield

    def model_loaded(self, role: ModelRole, seconds: float, *, succeeded: bool) -> None: ...

    def quota_exceeded(self, limit: str, count: int = 1) -> None: ...

    def watch_pool(self, state: Callable[[], PoolState]) -> None: ...


NO_TELEMETRY: Final = NoTelemetry()
