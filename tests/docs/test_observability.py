"""The page on observability, the dashboard and the scrape configuration name exactly the metrics that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.domain.telemetry import STAGES
from memos_mcp.telemetry.prometheus import registry_of
from tests.docs.pages import ROOT, table
from tests.telemetry.metric_samples import recorder, state

PAGE = ROOT / "docs/observability.md"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/memos-as.json").read_text())
SCRAPE = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
FUNCTIONS = {"sum", "rate", "min", "max", "by", "histogram_quantile", "increase", "changes", "le"}
WIDTH = 24


def metrics() -> dict[str, set[str]]:
    """The labels of each metric, by the name that a query uses."""
    found: dict[str, set[str]] = {}
    for family in registry_of(recorder(), state()).collect():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def listed_name(name: str) -> str:
    return re.sub(r"_(bucket|count|sum)$", "", name)


def panels() -> list[dict[str, Any]]:
    return list(DASHBOARD["panels"])


def expressions() -> Iterator[str]:
    for panel in panels():
        for target in panel.get("targets", ()):
            yield target["expr"]


def names(expression: str) -> set[str]:
    """The metrics of an expression."""
    without_selectors = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", " ", expression)
    return set(re.findall(r"[a-z_][a-z0-9_]+", without_selectors)) - FUNCTIONS


def test_the_page_lists_every_metric_with_its_labels() -> None:
    own = {
        listed_name(name): labels - {"le"}
        for name, labels in metrics().items()
        if name.startswith("memos_") and not name.endswith("_created")
    }
    listed = {name: set(re.findall(r"`(\w+)`", row.split("|")[0])) for name, row in table(PAGE, "Metrics").items()}
    assert listed == own


def test_the_page_names_metrics_of_the_process_that_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"`((?:process|python)_\w+)`", text)) <= metrics().keys()


def test_the_page_lists_every_stage() -> None:
    assert set(table(PAGE, "Stages")) == set(STAGES)


def test_the_dashboard_queries_metrics_that_exist_by_labels_that_they_have() -> None:
    known, unknown = metrics(), {}
    for expression in expressions():
        used = names(expression)
        assert used
        labels = {"le", "job", "instance"}.union(*(known.get(name, set()) for name in used))
        wanted = set(re.findall(r"(\w+)=~?\"", expression))
        wanted |= {label for group in re.findall(r"by \(([^)]*)\)", expression) for label in re.findall(r"\w+", group)}
        if used - known.keys() or wanted - labels:
            unknown[expression] = (used - known.keys(), wanted - labels)
    assert unknown == {}


def test_the_dashboard_shows_every_metric_of_the_server() -> None:
    shown = {listed_name(name) for expression in expressions() for name in names(expression)}
    assert {listed_name(name) for name in metrics() if name.startswith("memos_")} <= shown


def test_the_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in panels()}) == len(panels())
    for panel in panels():
        position = panel["gridPos"]
        assert position["x"] + position["w"] <= WIDTH
        assert min(position["w"], position["h"]) > 0
    for one, other in combinations([panel["gridPos"] for panel in panels()], 2):
        assert not (overlap(one, other, "x", "w") and overlap(one, other, "y", "h"))


def overlap(one: Mapping[str, int], other: Mapping[str, int], start: str, size: str) -> bool:
    return one[start] < other[start] + other[size] and other[start] < one[start] + one[size]


def test_the_dashboard_has_what_grafana_needs_to_import_it() -> None:
    assert {"title", "uid", "schemaVersion", "templating", "time", "panels"} <= DASHBOARD.keys()
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"} <= variables
    for panel in panels():
        assert {"id", "type", "title", "gridPos"} <= panel.keys()
        letters = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(letters)) == len(letters)
        assert panel["type"] == "row" or (letters and panel["datasource"]["uid"] == "${datasource}")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, of the package prometheus")
def test_promtool_reads_every_query_and_the_configuration(tmp_path: Path) -> None:
    filled = [text.replace("$__rate_interval", "5m").replace("$job", ".*") for text in expressions()]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(filled)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    (tmp_path / "token").touch()
    scrape = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(scrape.replace("/etc/prometheus/memos-as-token", str(tmp_path / "token")))
    for kind, file in (("rules", "rules.yml"), ("config", "prometheus.yml")):
        checked = subprocess.run(
            ["promtool", "check", kind, tmp_path / file], text=True, capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_scrape_configuration_reads_the_endpoint_of_the_server() -> None:
    (job,) = SCRAPE["scrape_configs"]
    assert (job["metrics_path"], job["static_configs"][0]["targets"]) == ("/metrics", ["127.0.0.1:8766"])
