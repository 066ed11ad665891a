"""Counts and times the work of this process, in memory. Reading it is another module's job."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from time import perf_counter
from typing import Final, Literal, Self, TypeAlias, get_args

from memos_mcp.domain.quotas import LIMITS
from memos_mcp.domain.telemetry import STAGES, ModelRole, PoolState, Stage
from memos_mcp.telemetry.spans import NO_SPANS, Spans, TraceSpan

Outcome: TypeAlias = Literal["ok", "degraded", "refused", "failed", "cancelled"]
"""Of a tool call. refused: the caller has to change something. failed: a part was away, or there is a defect."""

OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Transport: TypeAlias = Literal["stdio", "streamable-http", "sse"]

BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds: a query takes 10 to 30 ms, its stages from 1 ms on, and no call of a store over 30 s."""

_NOTHING: Final = nullcontext()
_current: Final = ContextVar[str | None]("the tool call, or the stage of it, that runs in this context", default=None)


class Histogram:
    """How many durations were within each of `BOUNDS`, and their sum in seconds. `counts` has one more for the rest."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Add a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds


class Recorder:
    """The `Telemetry` port, and the same for the layers above. `spans` are what traces are made of.

    It knows no client, namespace or text: the names of tools, stages and transports are those of the program.
    """

    def __init__(self, spans: Spans = NO_SPANS) -> None:
        self.spans = spans
        self.calls = Counter[tuple[str, Outcome]]()
        self.call_durations: dict[str, Histogram] = {}
        self.stage_durations: Mapping[Stage, Histogram] = {stage: Histogram() for stage in STAGES}
        self.model_loads = Counter[tuple[ModelRole, Literal["ok", "failed"]]]()
        self.model_load_seconds: dict[ModelRole, float] = {}
        self.clients = Counter[Transport]()
        self.unauthenticated = 0
        self.quotas_exceeded = Counter[str](dict.fromkeys(LIMITS, 0))
        self.pool_state: Callable[[], PoolState] | None = None

    def stage(self, stage: Stage) -> AbstractContextManager[None]:
        """Measure a stage of the call in this context; none within itself, and nothing outside of a call."""
        current = _current.get()
        if current is None or current == stage:
            return _NOTHING
        return _MeasuredStage(stage, self.stage_durations[stage], self.spans)

    def call(self, tool: str, carrier: Mapping[str, object] | None = None) -> "MeasuredCall":
        """Measure a tool call, and count it by the outcome that it is given. `carrier` may name the trace it is in."""
        return MeasuredCall(self, tool, carrier)

    def count(self, tool: str, outcome: Outcome, seconds: float) -> None:
        """Count a tool call."""
        self.calls[tool, outcome] += 1
        durations = self.call_durations.get(tool)
        if durations is None:
            durations = self.call_durations[tool] = Histogram()
        durations.observe(seconds)

    def model_loaded(self, role: ModelRole, seconds: float, *, succeeded: bool) -> None:
        """Count an attempt to load a model. Its loader has one thread at a time, so no count is lost."""
        self.model_loads[role, "ok" if succeeded else "failed"] += 1
        self.model_load_seconds[role] = self.model_load_seconds.get(role, 0.0) + seconds

    def quota_exceeded(self, limit: str, count: int = 1) -> None:
        """Count what a quota has refused or deferred."""
        self.quotas_exceeded[limit] += count

    def watch_pool(self, state: Callable[[], PoolState]) -> None:
        """Read the state of the pool of Postgres from this."""
        self.pool_state = state

    @contextmanager
    def client(self, transport: Transport) -> Iterator[None]:
        """Count a client as connected."""
        self.clients[transport] += 1
        try:
            yield
        finally:
            self.clients[transport] -= 1


class MeasuredCall:
    """Times a tool call. Its outcome is `cancelled` unless another one is set before the end."""

    __slots__ = ("_carrier", "_recorder", "_span", "_started", "_token", "_tool", "outcome")

    def __init__(self, recorder: Recorder, tool: str, carrier: Mapping[str, object] | None) -> None:
        self.outcome: Outcome = "cancelled"
        self._recorder = recorder
        self._tool = tool
        self._carrier = carrier

    def __enter__(self) -> Self:
        self._token: Token[str | None] = _current.set("call")
        self._span: TraceSpan | None = self._recorder.spans.begin_call(self._tool, self._carrier)
        self._started = perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self._recorder.count(self._tool, self.outcome, perf_counter() - self._started)
        if self._span is not None:
            self._span.end(self.outcome)
        _current.reset(self._token)


class _MeasuredStage:
    """Times a stage. A class, because a generator costs twice as much."""

    __slots__ = ("_durations", "_name", "_span", "_spans", "_started", "_token")

    def __init__(self, name: str, durations: Histogram, spans: Spans) -> None:
        self._name = name
        self._durations = durations
        self._spans = spans

    def __enter__(self) -> None:
        self._token: Token[str | None] = _current.set(self._name)
        self._span: TraceSpan | None = self._spans.begin(self._name)
        self._started = perf_counter()

    def __exit__(self, *_error: object) -> None:
        self._durations.observe(perf_counter() - self._started)
        if self._span is not None:
            self._span.end()
        _current.reset(self._token)


def cumulative(counts: Sequence[int]) -> list[int]:
    """Return, for each bound and for none, how many durations were within it."""
    total, sums = 0, []
    for count in counts:
        total += count
        sums.append(total)
    return sums
