"""The only module that uses asyncpg: it opens connections, declares their interface and translates their errors."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Final, Protocol, TypeAlias

import anyio
import asyncpg  # type: ignore[import-untyped]  # asyncpg has no types; Connection below declares them

from memos_mcp.domain.errors import Invalid, MemosError, StoreUnavailable
from memos_mcp.postgres.codecs import decode_time, dump_json, encode_time, load_json
from memos_mcp.postgres.tls_errors import BAD_FILES, names_files, tls_problem

CONNECT_SECONDS: Final = 4.0
"""A client waits at most five seconds for the error that the server does not answer."""

COMMAND_SECONDS: Final = 30.0

UNAVAILABLE: Final = (
    "The memory store cannot be reached right now. Repeat the call in a few seconds: nothing is stored twice."
)
DISK_FULL: Final = (
    "The disk of the memory store is full. Free space on the machine of the database, then repeat the call: "
    "nothing is stored twice."
)
UPGRADING: Final = (
    "The memory store is being upgraded and waits for another transaction, such as that of an ingestion. "
    "Repeat the call in a minute: nothing is stored twice."
)
POOLER: Final = (
    "MEMOS_DATABASE_URL leads to a connection pooler that keeps no sessions. Set "
    "MEMOS_DATABASE_PREPARED_STATEMENTS=false, or use the address of the database itself."
)
REFUSED: Final = "The memory store rejected the login. Fix the user, password or database in MEMOS_DATABASE_URL."
UNSTORABLE: Final = "A value cannot be stored or compared. Shorten or simplify it; nothing was changed."
BAD_ADDRESS: Final = (
    "MEMOS_DATABASE_URL is not a PostgreSQL URL. Use the form postgresql://user:password@host:5432/database, "
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
    asyncpg.DiskFullError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InvalidSQLStatementNameError,
)
"""Errors after which the connection, and perhaps the server, has to be replaced."""

_CONTENDED: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,
    # A migration of a newer version has changed a table of a prepared statement. Outside a transaction the driver
    # prepares it again; in one, it has forgotten the statement, and the transaction is to be repeated.
    asyncpg.InvalidCachedStatementError,
)

_OTHER_SCHEMA: Final = (asyncpg.UndefinedColumnError, asyncpg.UndefinedFunctionError, asyncpg.UndefinedTableError)

_UNSTORABLE: Final = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    asyncpg.CheckViolationError,
    asyncpg.NotNullViolationError,
)

logger = logging.getLogger(__name__)


class Contended(StoreUnavailable):
    """The transaction was rolled back because of a concurrent writer; it can be retried at once."""


class ConnectionLost(StoreUnavailable):
    """The connection broke or could not be opened."""


class SchemaChanged(StoreUnavailable):
    """A statement names something that the schema does not have, or no longer."""


class Connection(Protocol):
    """The part of asyncpg's connection that this package uses."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def fetch(self, query: str, *args: Any) -> list[Row]: ...

    async def fetchrow(self, query: str, *args: Any) -> Row | None: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...

    async def fetchmany(self, query: str, args: Iterable[Sequence[Any]]) -> list[Row]: ...

    def transaction(self) -> AbstractAsyncContextManager[object]: ...

    async def copy_from_table(self, table_name: str, **options: Any) -> str: ...

    async def copy_to_table(self, table_name: str, **options: Any) -> str: ...

    def is_closed(self) -> bool: ...

    def terminate(self) -> None: ...

    async def close(self, *, timeout: float) -> None: ...  # noqa: ASYNC109 - asyncpg's own parameter

    async def add_listener(self, channel: str, callback: Listener) -> None: ...

    def add_termination_listener(self, callback: Callable[[Any], None]) -> None: ...


class Pool(Protocol):
    """The part of asyncpg's pool that this package uses."""

    async def acquire(self) -> Connection: ...

    async def release(self, connection: Connection) -> None: ...

    async def close(self) -> None: ...

    def terminate(self) -> None: ...


async def connect(
    dsn: str,
    *,
    prepared_statements: bool = True,
    generic_plans: bool = False,
    command_timeout: float | None = COMMAND_SECONDS,
) -> Connection:
    """Open one connection outside any pool.

    generic_plans: plan a prepared statement once, for any parameters.
    """
    with translated():
        try:
            connection: Connection = await asyncpg.connect(
                dsn,
                timeout=CONNECT_SECONDS,
                command_timeout=command_timeout,
                **_options(prepared_statements, generic_plans),
            )
        except (asyncpg.ClientConfigurationError, ValueError) as error:
            logger.warning("MEMOS_DATABASE_URL cannot be used (%s)", type(error).__name__)
            # The driver's message may quote a part of the URL, so it is neither logged nor chained.
            raise StoreUnavailable(tls_problem(error) or BAD_ADDRESS) from None
        except (FileNotFoundError, PermissionError) as error:
            if names_files(dsn):
                raise ConnectionLost(BAD_FILES) from error
            raise  # the server's Unix socket
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                await _prepare(connection)
        except BaseException:  # a cancelled caller never gets the connection and cannot close it
            connection.terminate()
            raise
    return connection


async def open_pool(dsn: str, size: int, *, prepared_statements: bool = True) -> Pool:
    """Create a pool that opens its connections on first use."""
    with translated():
        pool: Pool = await asyncpg.create_pool(
            dsn,
            min_size=0,
            max_size=size,
            timeout=COMMAND_SECONDS,  # the callers watch whether the server answers
            command_timeout=COMMAND_SECONDS,
            init=_prepare,
            reset=_skip_reset,
            **_options(prepared_statements),
        )
    return pool


async def answers(dsn: str, seconds: float) -> bool:
    """Whether the server accepts or rejects a new connection within this time.

    An address that cannot be used says nothing about the server, so it counts as an answer.
    """
    try:
        with anyio.fail_after(seconds):
            connection = await asyncpg.connect(dsn, server_settings=_NAME)
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError):
        return True
    except (OSError, TimeoutError):
        return False
    return True


def discard(connection: Connection) -> None:
    """Close a broken connection, which may still appear open until the end of the stream arrives."""
    with suppress(asyncpg.InterfaceError):  # its pool has closed it already
        connection.terminate()


@contextmanager
def translated() -> Iterator[None]:
    """Translate the driver's errors into `StoreUnavailable` or `Invalid`, and log them.

    No error leaves a partial write: each statement or transaction either committed or changed nothing.
    """
    try:
        yield
    except MemosError:
        raise
    except _CONTENDED as error:
        raise Contended(UNAVAILABLE) from error
    except asyncpg.LockNotAvailableError as error:  # only migrations limit how long they wait for a lock
        logger.warning("A migration waits for another transaction, which holds a table: %s", error)
        raise Contended(UPGRADING) from error
    except _UNSTORABLE as error:
        logger.exception("Postgres rejected a value")
        raise Invalid(UNSTORABLE) from error
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        logger.warning("Postgres rejected the login: %s", type(error).__name__)
        raise ConnectionLost(REFUSED) from error
    except _LOST as error:
        logger.warning("Postgres cannot be used: %s: %s", type(error).__name__, error)
        raise ConnectionLost(_explanation(error)) from error
    except asyncpg.PostgresError as error:
        logger.exception("Postgres rejected a statement")
        raise (SchemaChanged if isinstance(error, _OTHER_SCHEMA) else StoreUnavailable)(UNAVAILABLE) from error


def _explanation(error: Exception) -> str:
    # A server that cannot write its log ends with the connection; what it sent last is then the cause.
    if isinstance(error, asyncpg.DiskFullError) or isinstance(error.__cause__, asyncpg.DiskFullError):
        return DISK_FULL
    # A pooler rejects what it cannot keep, or runs a statement on another session than the one that prepared it.
    strayed = isinstance(error, (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError))
    if strayed or "unsupported startup parameter" in str(error):
        return POOLER
    return tls_problem(error) or UNAVAILABLE


_NAME: Final = {"application_name": "memos-as"}
_CUSTOM_PLANS: Final = {"plan_cache_mode": "force_custom_plan"}
_GENERIC_PLANS: Final = {"plan_cache_mode": "force_generic_plan"}
"""A generic plan cannot know which of the optional filters are set, and would scan whole tables. It serves statements
that read rows by their ids.

Sent when the connection is opened, rather than by SET: a transaction pooler would give a SET to one of its sessions,
which others share, but rejects a parameter that it cannot keep.
"""
BEGIN: Final = "BEGIN; SET LOCAL plan_cache_mode = force_custom_plan"
"""The same for connections without prepared statements, where nothing may outlive a transaction."""


def _options(prepared_statements: bool, generic_plans: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  # private
    if prepared_statements:
        return {"server_settings": _NAME | (_GENERIC_PLANS if generic_plans else _CUSTOM_PLANS)}
    return {"server_settings": _NAME, "statement_cache_size": 0}


async def _prepare(connection: Any) -> None:
    async with connection.transaction():  # a transaction pooler keeps the session that long; the codecs read types
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=dump_json, decoder=load_json)
        await connection.set_type_codec(
            "timestamptz", schema="pg_catalog", encoder=encode_time, decoder=decode_time, format="tuple"
        )


async def _skip_reset(_connection: Any) -> None:
    """Do not reset the session: this package never changes it, and a reset would undo `_prepare`."""
