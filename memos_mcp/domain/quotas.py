"""What a namespace may use: stored amounts, rates, and the time of the model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

from memos_mcp.domain.errors import MemosError

Limit: TypeAlias = Literal["memories", "bytes", "tools", "calls_a_minute", "concurrent_calls", "embedding_seconds"]

LIMITS: Final[tuple[Limit, ...]] = get_args(Limit)

MAX_AMOUNT: Final = 2**63 - 1
MAX_RATE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of a namespace; None is no limit.

    memories: rows, also superseded and expired ones and the chunks of files. bytes: of their contents and metadata.
    concurrent_calls, calls_a_minute, embedding_seconds: in each engine; the last one a minute.
    """

    memories: int | None = None
    bytes: int | None = None
    tools: int | None = None
    calls_a_minute: int | None = None
    concurrent_calls: int | None = None
    embedding_seconds: float | None = None

    @property
    def limits_amounts(self) -> bool:
        """Whether what is stored is limited."""
        return not self.memories is self.bytes is self.tools is None

    def before(self, other: "Quota") -> "Quota":
        """Return the limits of this quota, and of the other one where this has none."""
        return Quota(**{**asdict(other), **{name: value for name, value in asdict(self).items() if value is not None}})


NO_QUOTA: Final = Quota()


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a namespace holds."""

    memories: int
    bytes: int
    tools: int


class QuotaExceeded(MemosError):
    """A namespace has used up what a limit allows; the message says which one, and what to do."""

    def __init__(self, limit: Limit, message: str) -> None:
        super().__init__(message)
        self.limit: Final = limit


class Quotas(Protocol):
    """The quotas in force."""

    async def of(self, namespace: str) -> Quota: ...


class NoQuotas:
    """The port, for what is built without limits."""

    async def of(self, namespace: str) -> Quota:  # noqa: ARG002 - the port's
        return NO_QUOTA


NO_QUOTAS: Final = NoQuotas()


class QuotaStore(Protocol):
    """The quotas of single namespaces, which take precedence over the settings."""

    async def every(self) -> Mapping[str, Quota]: ...

    async def set(self, namespace: str, quota: Quota) -> Quota:
        """Change the limits that are given, and count what the namespace holds; return all of its own limits."""

    async def unset(self, namespace: str) -> bool:
        """Remove the limits of a namespace; return whether it had any."""

    async def amounts(self) -> Mapping[str, Amounts]:
        """Return what the namespaces hold whose amounts are limited."""


def check_growth(quota: Quota, before: Amounts, after: Amounts) -> None:
    """Raise `QuotaExceeded` if an amount has grown beyond its limit. What was beyond it already may stay so."""
    limits: tuple[tuple[Limit, int | None, int, int], ...] = (
        ("memories", quota.memories, before.memories, after.memories),
        ("bytes", quota.bytes, before.bytes, after.bytes),
        ("tools", quota.tools, before.tools, after.tools),
    )
    for limit, most, had, has in limits:
        if most is not None and has > most and has > had:
            raise QuotaExceeded(limit, _full(limit, most, had, has - had))


def _full(limit: Limit, most: int, had: int, more: int) -> str:
    what = {"bytes": "bytes of memories"}.get(limit, limit)
    remedy = "Unregister tools" if limit == "tools" else "Forget memories"
    return (
        f"The namespace has {had:,} of at most {most:,} {what}, and this would add {more:,}. {remedy} that nobody "
        "needs, or ask the operator of this server for more (memos-as quota set). Nothing was stored."
    )
