"""The metrics of a server in the formats of Prometheus and OpenMetrics. The only module that knows Prometheus.

No label has unbounded values: none names a namespace, an agent, a client, a memory or a registered tool.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from memos_mcp import __version__
from memos_mcp.telemetry.recorder import BOUNDS, Histogram, Recorder, cumulative
from memos_mcp.telemetry.server_state import ServerState

_LIMITS: Final = [*map(str, BOUNDS), "+Inf"]

_Name = TypeVar("_Name", bound=str)
_Samples: TypeAlias = Iterable[tuple[Sequence[str], float]]


def exposition(recorder: Recorder, state: ServerState, accept: str) -> tuple[bytes, str]:
    """Return the metrics and their content type, in the format that an Accept header asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(registry_of(recorder, state)), content_type


def registry_of(recorder: Recorder, state: ServerState) -> CollectorRegistry:
    """Return a registry of its own with these values, and with those of the process."""
    registry = CollectorRegistry()
    registry.register(_Families([*_work(recorder), *_parts(state), _build()]))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class _Families(Collector):
    """Metrics that are computed already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _work(recorder: Recorder) -> Iterator[Metric]:
    """Yield what this process has done since it started."""
    yield _counter(
        "memos_tool_calls",
        "Tool calls by outcome.",
        ("tool", "outcome"),
        recorder.calls.items(),
    )
    yield _histogram("memos_tool_call_duration_seconds", "How long tool calls took.", "tool", recorder.call_durations)
    yield _histogram(
        "memos_stage_duration_seconds", "How long the stages of tool calls took.", "stage", recorder.stage_durations
    )
    yield _counter("memos_model_loads", "Attempts to load a model.", ("model", "outcome"), recorder.model_loads.items())
    yield _counter(
        "memos_model_load_seconds",
        "Time spent on loading models.",
        ("model",),
        [((role,), seconds) for role, seconds in recorder.model_load_seconds.items()],
    )
    yield _gauge(
        "memos_connected_clients",
        "Clients and, over streamable HTTP, requests and open streams right now.",
        ("transport",),
        [((transport,), count) for transport, count in recorder.clients.items()],
    )
    yield _counter(
        "memos_http_unauthenticated_requests",
        "HTTP requests without a valid token.",
        (),
        [((), recorder.unauthenticated)],
    )
    yield _counter(
        "memos_quota_exceeded",
        "Calls that a quota refused and, for embedding_seconds, items that it deferred.",
        ("limit",),
        _by_name(recorder.quotas_exceeded),
    )


def _parts(state: ServerState) -> Iterator[Metric]:
    """Yield the state of Postgres and of the index."""
    yield _gauge("memos_postgres_up", "Whether Postgres answered this scrape.", (), [((), state.queue is not None)])
    yield _gauge("memos_index_up", "Whether the index answered this scrape.", (), [((), state.index is not None)])
    yield from _queue(state)
    yield from _index(state)
    yield from _rebuild(state)
    yield from _pool(state)


def _queue(state: ServerState) -> Iterator[Metric]:
    queue = state.queue
    depth = [] if queue is None else _by_name(queue.depth)
    yield _gauge("memos_index_queue_items", "Items that wait to be indexed.", ("kind",), depth)
    waits = [] if queue is None else [((), _age(queue.oldest, state.at))]
    yield _gauge("memos_index_queue_oldest_seconds", "How long the oldest of them has waited.", (), waits)


def _index(state: ServerState) -> Iterator[Metric]:
    report = state.index
    items = [] if report is None else _by_name(report.items)
    points = [] if report is None else _by_name(report.points)
    generation = [] if report is None else [((), int(report.generation, 16))]
    yield _gauge("memos_index_items", "Items that the index holds.", ("kind",), items)
    yield _gauge("memos_index_points", "Points that the index holds, one a passage.", ("kind",), points)
    yield _gauge(
        "memos_index_generation",
        "The generation of the index that answers, as a number that changes when another one replaces it.",
        (),
        generation,
    )


def _rebuild(state: ServerState) -> Iterator[Metric]:
    done, total = (0, 0) if state.building is None else (state.building.done, state.building.total)
    yield _gauge(
        "memos_index_rebuild_items", "Items that a new generation is to hold, 0 without one.", (), [((), total)]
    )
    yield _gauge("memos_index_rebuild_done_items", "Items that a new generation holds already.", (), [((), done)])


def _pool(state: ServerState) -> Iterator[Metric]:
    pool = state.pool
    used = [] if pool is None else [(("in_use",), pool.in_use), (("idle",), pool.open - pool.in_use)]
    limit = [] if pool is None else [((), pool.limit)]
    waits = [] if pool is None else [((), pool.waits)]
    yield _gauge("memos_postgres_pool_connections", "Open connections of the pool.", ("state",), used)
    yield _gauge("memos_postgres_pool_max_connections", "The most connections of the pool.", (), limit)
    yield _counter("memos_postgres_pool_waits", "Uses that found all connections busy.", (), waits)


def _build() -> Metric:
    return InfoMetricFamily("memos_build", "The version of the server.", value={"version": __version__})


def _counter(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in list(samples):
        family.add_metric(values, number)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, label: str, durations: Mapping[_Name, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=(label,))
    for value, histogram in durations.items():
        buckets = list(zip(_LIMITS, cumulative(histogram.counts), strict=True))
        family.add_metric((value,), buckets, histogram.seconds)
    return family


def _by_name(counts: Mapping[_Name, int]) -> _Samples:
    return [((name,), count) for name, count in counts.items()]


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
