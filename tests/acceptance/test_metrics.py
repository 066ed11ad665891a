"""`/metrics` of a real server."""

from collections import defaultdict
from collections.abc import Mapping
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from memos_mcp.domain.index import ITEM_KINDS
from memos_mcp.domain.quotas import LIMITS
from memos_mcp.domain.telemetry import STAGES
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.telemetry.recorder import BOUNDS, OUTCOMES
from tests.acceptance.raw_clients import RawClient, tool_arguments
from tests.acceptance.servers import Server

pytestmark = pytest.mark.anyio

LABELS: Mapping[str, set[str]] = {
    "tool": {tool.name for tool in TOOLS},
    "outcome": set(OUTCOMES),
    "stage": set(STAGES),
    "kind": set(ITEM_KINDS),
    "model": {"embedding", "reranker"},
    "transport": {"stdio", "streamable-http", "sse"},
    "state": {"in_use", "idle"},
    "limit": set(LIMITS),
    "le": {*map(str, BOUNDS), "+Inf"},
}
"""All values that a label of ours may have."""


async def scrape(server: Server) -> str:
    async with httpx.AsyncClient(headers=server.token_header) as client:
        answer = await client.get(f"{server.url}/metrics")
    assert answer.status_code == 200
    return answer.text


def labels(families: list[Metric]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for family in families:
        if family.name.startswith("memos_") and family.name != "memos_build_info":
            for sample in family.samples:
                for name, value in sample.labels.items():
                    found[name].add(value)
    return found


async def test_no_label_has_unbounded_values_after_random_calls(
    clients: Mapping[str, RawClient], servers: Mapping[str, Server]
) -> None:
    random, secret = Random(7), f"secret{uuid4().hex}"
    texts: list[Any] = [secret, f"{secret}-2", 5, None, [secret], {"a": secret}]
    names = [*(tool.name for tool in TOOLS), secret, f"tools/{secret}"]
    for _ in range(150):
        tool = random.choice(names)
        fields = ["content", "query", "memory_id", "tool_id", "task", "session_id", "namespace", "agent_id", secret]
        await clients["http"].call(tool, {random.choice(fields): random.choice(texts) for _ in range(2)})
    await clients["http"].call("register_tool", tool_arguments(tool_id=secret, name=secret))
    content = await scrape(servers["http"])
    families = list(text_string_to_metric_families(content))
    assert secret not in content
    assert {name: values - LABELS[name] for name, values in labels(families).items() if values - LABELS[name]} == {}
    assert {"ok", "refused"} <= labels(families)["outcome"]


async def test_a_call_is_counted_with_its_stages(
    clients: Mapping[str, RawClient], servers: Mapping[str, Server]
) -> None:
    before = values(await scrape(servers["http"]))
    await clients["http"].call("query_memory", {"query": f"something {uuid4()}"})
    after = values(await scrape(servers["http"]))
    for name in (
        "memos_tool_calls_total query_memory ok",
        *(f"memos_stage_duration_seconds_count {stage}" for stage in ("embed", "search", "rank")),
    ):
        assert after[name] - before.get(name, 0) == 1
    assert after["memos_stage_duration_seconds_count postgres"] > before["memos_stage_duration_seconds_count postgres"]
    assert after["memos_index_items memory"] >= 1
    assert after["memos_model_loads_total embedding ok"] == 1
    assert (after["memos_postgres_up"], after["memos_index_up"]) == (1, 1)
    assert after["process_resident_memory_bytes"] > 1_000_000


async def test_another_host_is_refused(clients: Mapping[str, RawClient], servers: Mapping[str, Server]) -> None:
    assert clients
    async with httpx.AsyncClient(headers=servers["http"].token_header) as client:
        answer = await client.get(f"{servers['http'].url}/metrics", headers={"host": "evil.example.com"})
        assert answer.status_code == 421
        assert (await client.post(f"{servers['http'].url}/metrics")).status_code == 405


def values(content: str) -> dict[str, float]:
    """Return the samples by their names and the values of their labels, in the order of the labels' definition."""
    order = ("tool", "stage", "model", "kind", "transport", "state", "outcome")
    return {
        " ".join([sample.name, *(sample.labels[name] for name in order if name in sample.labels)]): sample.value
        for family in text_string_to_metric_families(content)
        for sample in family.samples
        if "le" not in sample.labels
    }
