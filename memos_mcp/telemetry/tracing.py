"""Traces through OpenTelemetry: a span for each tool call, and one within it for each of its stages.

A span has the name of a tool or a stage, the outcome and the id of the request: no content, no argument, no name that a
client chose. Its parent is the span that the client names in `_meta`, as MCP has it.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
from anyio import to_thread
from opentelemetry import context, trace
from opentelemetry.propagate import extract
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from memos_mcp import __version__
from memos_mcp.telemetry.recorder import Recorder
from memos_mcp.telemetry.request_ids import current
from memos_mcp.telemetry.spans import NO_SPANS

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NAME: Final = "memos-as"
FLUSH_SECONDS: Final = 2.0

MISSING: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed, so no traces are sent. "
    "Install it with: pip install 'memos-as[traces]'"
)

logger = logging.getLogger(__name__)


@asynccontextmanager
async def exported(environment: Mapping[str, str], recorder: Recorder) -> AsyncIterator[None]:
    """Have the recorder make spans, if something receives them; the last ones are sent at the end.

    They are sent where the OTEL_ variables of the environment say. A program that embeds the server may have set a
    provider of its own, which then gets the spans.
    """
    provider = _exporting(environment) if _is_wanted(environment) and not has_receiver() else None
    recorder.spans = TracedSpans(trace.get_tracer(NAME, __version__)) if has_receiver() else NO_SPANS
    try:
        yield
    finally:
        recorder.spans = NO_SPANS
        if provider is not None:
            with anyio.move_on_after(FLUSH_SECONDS, shield=True):
                await to_thread.run_sync(provider.shutdown, abandon_on_cancel=True)


def has_receiver() -> bool:
    """Whether something receives spans."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class TracedSpans:
    """The `Spans` of a tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, name: str) -> "TracedSpan":
        """Begin the span of a stage."""
        return TracedSpan(self._tracer.start_span(name))

    def begin_call(self, tool: str, carrier: Mapping[str, object] | None) -> "TracedSpan":
        """Begin the span of a tool call."""
        named = {name: value for name, value in (carrier or {}).items() if isinstance(value, str)}
        attributes = {
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "memos.request_id": current() or "",
        }
        span = self._tracer.start_span(f"tools/call {tool}", extract(named), SpanKind.SERVER, attributes)
        return TracedSpan(span)


class TracedSpan:
    """A span that is the current one until it ends."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))

    def end(self, outcome: str | None = None) -> None:
        """End the span."""
        context.detach(self._token)
        if outcome is not None:
            self._span.set_attribute("memos.outcome", outcome)
        if outcome == "failed":
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _is_wanted(environment: Mapping[str, str]) -> bool:
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off = is_off or environment.get("OTEL_TRACES_EXPORTER", "otlp").lower() == "none"
    return not is_off and any(environment.get(name) for name in endpoints)


def _exporting(environment: Mapping[str, str]) -> "TracerProvider | None":
    """Set a provider that the OTEL_ variables configure; None without the packages that it needs."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning(MISSING)
        return None
    has_name = "OTEL_SERVICE_NAME" in environment or "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.version": __version__} | ({} if has_name else {"service.name": NAME})
    provider = TracerProvider(resource=Resource.create(own))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider
