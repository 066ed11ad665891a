"""What the recorder needs of traces, and the same where nothing receives them."""

from collections.abc import Mapping
from typing import Final, Protocol


class TraceSpan(Protocol):
    """A span that has begun, and is the parent of those that begin in its context until it ends."""

    def end(self, outcome: str | None = None) -> None: ...


class Spans(Protocol):
    """Begins spans. None is returned where nothing receives them."""

    def begin(self, name: str) -> TraceSpan | None: ...

    def begin_call(self, tool: str, carrier: Mapping[str, object] | None) -> TraceSpan | None:
        """Begin the span of a tool call, within the trace that the carrier names, if it names one."""


class NoSpans:
    """Where nothing receives spans."""

    def begin(self, name: str) -> None: ...

    def begin_call(self, tool: str, carrier: Mapping[str, object] | None) -> None: ...


NO_SPANS: Final = NoSpans()
