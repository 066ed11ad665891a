"""The door to asyncpg: how a connection is made, what it looks like to this room, what its failures become."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol, TypeAlias

import asyncpg  # type: ignore[import-untyped]  # asyncpg ships no types; Connection below stands for them

from memos_mcp.domain.errors import Invalid, MemosError, StoreUnavailable

CONNECT_SECONDS: Final = 5.0
COMMAND_SECONDS: Final = 30.0
MAX_INTEGER_DIGITS: Final = 19

UNAVAILABLE: Final = (
    "The memory store cannot be reached just now. Repeat the call in a few seconds: nothing is stored twice."
)
REFUSED: Final = (
    "The memory store does not let this server in. Whoever runs it has to correct MEMOS_DATABASE_URL: "
    "the user, the password or the name of the database."
)
UNSTORABLE: Final = "A value cannot be stored or compared as it is. Shorten or simplify it; nothing was changed."
BAD_ADDRESS: Final = (
    "MEMOS_DATABASE_URL is not a PostgreSQL address. Use the form postgresql://user:password@host:5432/database, "
    "with special characters percent-encoded."
)

Row: TypeAlias = Mapping[str, Any]
Listener: TypeAlias = Callable[[Any, int, str, str], None]

_LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""Failures after which it is worth looking whether the server still stands."""

logger = logging.getLogger(__name__)


class Contended(StoreUnavailable):
    """Two writers waited for each other and this one gave way; its transaction can be repeated at once."""


class Lost(StoreUnavailable):
    """The connection broke or could not be made."""


class Connection(Protocol):
    """What this room uses of an asyncpg connection."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def fetch(self, query: str, *args: Any) -> list[Row]: ...

    async def fetchrow(self, query: str, *args: Any) -> Row | None: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def fetchmany(self, query: str, args: Iterable[Sequence[Any]]) -> list[Row]: ...

    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...

    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109 - asyncpg's own parameter

    async def add_listener(self, channel: str, callback: Listener) -> None: ...

    def add_termination_listener(self, callback: Callable[[Any], None]) -> None: ...


class Pool(Protocol):
    """What this room uses of an asyncpg pool."""

    async def acquire(self, *, timeout: float) -> Connection: ...  # noqa: ASYNC109 - asyncpg's own parameter

    async def release(self, connection: Connection) -> None: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...


async def connect(dsn: str, *, command_timeout: float | None = COMMAND_SECONDS) -> Connection:
    """Open one connection outside any pool."""
    with translated():
        try:
            connection: Connection = await asyncpg.connect(
                dsn, timeout=CONNECT_SECONDS, command_timeout=command_timeout, server_settings=_SETTINGS
            )
        except (asyncpg.ClientConfigurationError, ValueError) as error:
            logger.warning("the address of the database cannot be used (%s)", type(error).__name__)
            # The driver's text may quote a part of the address, so it goes no further.
            raise StoreUnavailable(BAD_ADDRESS) from None
        try:
            await _prepare(connection)
        except BaseException:  # a caller that was cancelled here cannot close what it never got
            connection.terminate()
            raise
    return connection


async def open_pool(dsn: str, size: int) -> Pool:
    """Make a pool that connects when it is used."""
    with translated():
        pool: Pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings=_SETTINGS,
            init=_prepare,
            reset=_keep,
        )
    return pool


def discard(connection: Connection) -> None:
    """Break a connection that may still look open: the server's last word can come before the end of the stream."""
    with suppress(asyncpg.InterfaceError):  # its pool has noticed already
        connection.terminate()


@contextmanager
def translated() -> Iterator[None]:
    """Turn every failure of the driver into `StoreUnavailable`, and log what it was.

    No failure leaves half a write: each statement or transaction either committed or did nothing.
    """
    try:
        yield
    except MemosError:
        raise
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
        raise Contended(UNAVAILABLE) from error
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
        logger.exception("Postgres cannot hold a value")
        raise Invalid(UNSTORABLE) from error
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        logger.warning("Postgres refuses the login: %s", type(error).__name__)
        raise Lost(REFUSED) from error
    except _LOST as error:
        logger.warning("Postgres is not there: %s: %s", type(error).__name__, error)
        raise Lost(UNAVAILABLE) from error
    except asyncpg.PostgresError as error:
        logger.exception("Postgres refused a statement")
        raise StoreUnavailable(UNAVAILABLE) from error


def load_json(text: str) -> Any:
    """Read jsonb, in which a float such as 1e300 has become an integer of 301 digits."""
    return json.loads(text, parse_int=_integer)


def dump_json(value: Any) -> str:
    """Write JSON compactly, every character as itself."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_SETTINGS: Final = {"application_name": "memos-as"}
_FRESH_PLANS: Final = "SET plan_cache_mode = force_custom_plan"
"""A generic plan cannot know which optional filters are there, and would read whole tables."""


async def _prepare(connection: Any) -> None:
    await connection.execute(_FRESH_PLANS)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=dump_json, decoder=load_json)
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=_dump_time, decoder=_load_time, format="tuple"
    )


async def _keep(_connection: Any) -> None:
    """Leave the session as it is: nobody in this room changes it, and a reset would undo `_prepare`."""


_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def _dump_time(moment: datetime) -> tuple[int]:
    return ((moment - _EPOCH) // _MICROSECOND,)


def _load_time(microseconds: tuple[int]) -> datetime:
    """Read a time as UTC, infinity as the end of the calendar; the driver takes the calendar's ends for infinity."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds[0])
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if microseconds[0] > 0 else datetime.min.replace(tzinfo=UTC)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= MAX_INTEGER_DIGITS else float(digits)
