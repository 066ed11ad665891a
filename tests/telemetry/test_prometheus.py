"""The metrics are what Prometheus expects: its own parsers read them, and they follow the rules of `promtool`."""

import re
import shutil
import subprocess
import sys

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from memos_mcp.telemetry.prometheus import exposition
from memos_mcp.telemetry.recorder import BOUNDS, Recorder
from memos_mcp.telemetry.server_state import ServerState
from tests.telemetry.metric_samples import NOW, recorder, state

NOT_BASE_UNITS = {"milliseconds", "ms", "minutes", "hours", "days", "kilobytes", "megabytes", "percent", "celsius"}
TYPES = {"counter", "gauge", "histogram", "summary"}


def text(of: Recorder | None = None, at: ServerState | None = None) -> str:
    return exposition(of or recorder(), at or state(), "")[0].decode()


def samples(content: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in read_text(content)
        for sample in family.samples
    }


def complaints(family: Metric) -> list[str]:
    """Return what `promtool check metrics` would complain about."""
    words = set(family.name.split("_"))
    found = []
    if not family.documentation:
        found.append("no help text")
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", family.name):
        found.append("not in snake_case")
    if words & NOT_BASE_UNITS:
        found.append("not a base unit")
    if words & TYPES:
        found.append("contains its type")
    if family.type != "counter" and family.name.endswith("_total"):
        found.append("only counters end with _total")
    if family.type == "counter" and not all(sample.name.endswith("_total") for sample in family.samples):
        found.append("counters end with _total")
    if family.type != "histogram" and family.name.endswith(("_count", "_sum", "_bucket")):
        found.append("only histograms end like that")
    return found


def test_the_metrics_follow_the_conventions_of_prometheus() -> None:
    families = list(read_text(text()))
    assert {family.name: complaints(family) for family in families if complaints(family)} == {}
    own = {family.name for family in families if not family.name.startswith(("process_", "python_"))}
    assert len(own) > 15
    assert all(name.startswith("memos_") for name in own)


def test_a_metric_that_breaks_a_convention_is_noticed() -> None:
    assert complaints(Metric("memos_gauge_milliseconds_total", "", "gauge")) == [
        "no help text",
        "not a base unit",
        "contains its type",
        "only counters end with _total",
    ]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the package prometheus")
def test_promtool_has_no_complaint() -> None:
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text(), text=True, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_a_scraper_that_asks_for_openmetrics_gets_the_same_values() -> None:
    content, content_type = exposition(recorder(), state(), "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert content.endswith(b"# EOF\n")
    families = read_openmetrics(content.decode())  # type: ignore[no-untyped-call]  # it has no types
    values = {sample.name: sample.value for family in families for sample in family.samples}
    assert values["memos_index_queue_oldest_seconds"] == 90


def test_every_value_is_reported() -> None:
    found = samples(text())
    assert found["memos_tool_calls_total", "ok", "query_memory"] == 1
    assert found["memos_index_queue_items", "memory"] == 2
    assert found["memos_index_queue_oldest_seconds",] == 90
    assert (found["memos_index_items", "memory"], found["memos_index_points", "memory"]) == (5, 7)
    assert found["memos_index_generation",] == 12
    assert (found["memos_index_rebuild_done_items",], found["memos_index_rebuild_items",]) == (3, 10)
    assert found["memos_postgres_pool_connections", "in_use"] == 3
    assert found["memos_postgres_pool_connections", "idle"] == 1
    assert found["memos_postgres_pool_max_connections",] == 10
    assert found["memos_postgres_pool_waits_total",] == 2
    assert found["memos_model_loads_total", "embedding", "ok"] == 1
    assert (found["memos_postgres_up",], found["memos_index_up",]) == (1, 1)


def test_a_histogram_has_cumulative_buckets() -> None:
    recorder = Recorder()
    recorder.count("store_memory", "ok", 0.3)
    recorder.count("store_memory", "ok", 40)
    found = samples(text(recorder))
    buckets = [found["memos_tool_call_duration_seconds_bucket", f"{bound}", "store_memory"] for bound in BOUNDS]
    assert buckets == sorted(buckets)
    assert found["memos_tool_call_duration_seconds_bucket", "+Inf", "store_memory"] == 2
    assert found["memos_tool_call_duration_seconds_count", "store_memory"] == 2
    assert found["memos_tool_call_duration_seconds_sum", "store_memory"] == pytest.approx(40.3)


def test_parts_that_do_not_answer_are_down_and_have_no_values() -> None:
    found = samples(text(at=ServerState(NOW, None, None, None, None)))
    assert (found["memos_postgres_up",], found["memos_index_up",]) == (0, 0)
    assert not any(name.startswith(("memos_index_queue", "memos_index_items")) for name, *_ in found)


def test_the_client_of_prometheus_is_imported_by_those_who_scrape_only() -> None:
    program = "import sys, memos_mcp.app, memos_mcp.transports.http; print('prometheus_client' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
