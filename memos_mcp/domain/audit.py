"""The audit trail, as the services see it: who did what, when, and with what outcome. It has ids and no content."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias, get_args

from memos_mcp.domain.scope import Scope

AuditMode: TypeAlias = Literal["off", "changes", "all"]

AuditOutcome: TypeAlias = Literal["ok", "degraded", "refused", "failed", "cancelled", "unauthenticated"]

AUDIT_OUTCOMES: Final[tuple[AuditOutcome, ...]] = get_args(AuditOutcome)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A call of a tool, or `calls` of them that differ in nothing else and touched nothing.

    scope: whose call it was, None for requests that were not authenticated.
    tool: also the event of a change that a command made. item_ids: the memories and tools that were read or changed.
    """

    at: datetime
    scope: Scope | None
    tool: str | None
    outcome: AuditOutcome
    transport: str | None = None
    item_ids: Sequence[str] = ()
    request_id: str | None = None
    calls: int = 1


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which records to return, newest first. namespace: with the requests of nobody; None for all."""

    namespace: str | None
    since: datetime | None = None
    until: datetime | None = None
    agent_id: str | None = None
    tool: str | None = None
    outcome: AuditOutcome | None = None
    limit: int = 100


class AuditStore(Protocol):
    """The audit trail, which is only ever added to."""

    async def add(self, records: Sequence[AuditRecord]) -> None: ...

    async def find(self, query: AuditQuery) -> list[AuditRecord]: ...

    async def prune(self, before: datetime) -> int:
        """Delete the records before a time; return how many."""
