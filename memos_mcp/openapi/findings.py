"""What an import reports besides its tools: what it could not map, and what it had to change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Effect: TypeAlias = Literal["not added", "changed", "noticed"]
"""`not added`: the operation is no tool. `changed`: the tool says less than the description, or says it differently.
`noticed`: the tool says all, and the reader should know something more."""


class Unmappable(Exception):
    """An operation cannot become a tool. The message says why, in one sentence."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry of the report. `operation` is such as `GET /pets`, or None for the entire description."""

    operation: str | None
    effect: Effect
    reason: str


@dataclass(slots=True)
class Findings:
    """Collects findings, each once, under the operation that is being mapped."""

    entries: dict[Finding, None] = field(default_factory=dict)
    operation: str | None = None

    @contextmanager
    def of(self, operation: str) -> Iterator[None]:
        """Collect what follows under this operation."""
        self.operation = operation
        try:
            yield
        finally:
            self.operation = None

    def changed(self, reason: str) -> None:
        """Report that a tool differs from its description."""
        self._add("changed", reason)

    def not_added(self, reason: str) -> None:
        """Report that an operation is no tool."""
        self._add("not added", reason)

    def noticed(self, reason: str) -> None:
        """Report something to know that changes no tool."""
        self._add("noticed", reason)

    def _add(self, effect: Effect, reason: str) -> None:
        self.entries.setdefault(Finding(self.operation, effect, reason))
