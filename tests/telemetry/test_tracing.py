import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client, MCPError
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from memos_mcp.mcp_server.server import build_server
from memos_mcp.telemetry.recorder import Recorder
from memos_mcp.telemetry.tracing import TracedSpans
from tests.stand_in import SCOPE, stand_in
from tests.telemetry.otlp_receiver import receiving

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

PROGRAM = """
import anyio, os
from mcp import Client
from memos_mcp.mcp_server.server import build_server
from memos_mcp.telemetry.tracing import exported
from tests.stand_in import SCOPE, stand_in

async def main():
    app = stand_in()
    async with exported(os.environ, app.telemetry):
        async with Client(build_server(app, SCOPE)) as client:
            await client.call_tool("store_memory", {"content": "a private sentence"})
            await client.call_tool("query_memory", {"query": "a private question"})

anyio.run(main)
"""


def traced() -> tuple[TracedSpans, InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return TracedSpans(provider.get_tracer("test")), exporter


def named(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def outcome_of(span: ReadableSpan) -> object:
    return (span.attributes or {})["memos.outcome"]


def test_the_stages_of_a_call_are_spans_within_its_span() -> None:
    spans, exporter = traced()
    recorder = Recorder(spans)
    with recorder.call("query_memory") as call:
        with recorder.stage("embed"):
            pass
        with recorder.stage("search"), recorder.stage("postgres"):
            pass
        call.outcome = "ok"
    found = named(exporter)
    assert set(found) == {"tools/call query_memory", "embed", "search", "postgres"}
    call_id = found["tools/call query_memory"].context.span_id
    parents = {name: span.parent.span_id for name, span in found.items() if span.parent is not None}
    assert parents == {"embed": call_id, "search": call_id, "postgres": found["search"].context.span_id}
    assert outcome_of(found["tools/call query_memory"]) == "ok"
    assert found["tools/call query_memory"].status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("outcome", "status"), [("failed", StatusCode.ERROR), ("refused", StatusCode.UNSET)])
def test_only_a_failure_of_the_server_is_an_error(outcome: Any, status: StatusCode) -> None:
    spans, exporter = traced()
    with Recorder(spans).call("query_memory") as call:
        call.outcome = outcome
    assert named(exporter)["tools/call query_memory"].status.status_code is status


async def test_a_call_is_in_the_trace_that_its_client_names_and_shows_nothing_of_it() -> None:
    app, (spans, exporter) = stand_in(), traced()
    app.telemetry.spans = spans
    async with Client(build_server(app, SCOPE)) as client:
        question: dict[str, Any] = {"query": "private question", "private name": 1}
        await client.call_tool("query_memory", question, meta=cast("Any", {"traceparent": PARENT}))
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("private tool", {})
    (span,) = exporter.get_finished_spans()
    assert span.context.trace_id == int(PARENT.split("-")[1], 16)
    assert outcome_of(span) == "refused"
    assert "private" not in span.to_json()


def test_spans_are_sent_to_the_receiver_that_the_environment_names() -> None:
    with receiving() as received:
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, check=True, timeout=60)
    assert {span.name for span in received.spans} == {"tools/call store_memory", "tools/call query_memory"}
    assert received.resource["service.name"] == "memos-as"
    assert b"private" not in received.bodies


def test_a_missing_exporter_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    environment = os.environ | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "memos-as[traces]" in ran.stderr
    assert ran.stderr.count("\n") == 1
