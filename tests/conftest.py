"""A real Postgres for the tests: one server, one migrated template, and a fresh copy of it for each test."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio
import hypothesis
import pytest

from memos_mcp.postgres.callers_role import LEAKPROOF
from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations
from tests.memory_folder import memory_folder
from tests.pgbouncer import PROGRAM as PGBOUNCER
from tests.pgbouncer import pgbouncer
from tests.prepared_home import prepare_home

Answer = TypeVar("Answer")

SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
"""No data outlives the test run."""

AS_FILES = "STRATEGY FILE_COPY"
"""How a small template in memory is copied fastest: the default reads and logs each page."""

# The time of an example depends on the machine more than on the code.
hypothesis.settings.register_profile("suite", deadline=None, max_examples=30)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=300)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each run a folder of its own.

    All runs of a user share the default one, and each new run makes it private again. For tests that run as root the
    embedded server is another user, so it would lose access. Workers of a parallel run get folders inside this one.

    Temporary folders are in memory, also those of programs that the tests start: a new cluster syncs a thousand files.
    """
    tempfile.tempdir = os.environ["TMPDIR"] = memory_folder() or gettempdir()
    if config.option.basetemp is None:
        config.option.basetemp = mkdtemp(prefix="memos-tests-")
        config.add_cleanup(partial(rmtree, config.option.basetemp, ignore_errors=True))


def pytest_sessionstart() -> None:
    """Let the tests signal processes: what a run in the background or under nohup ignores, its children ignore too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # A handler, unlike SIG_IGN, is not inherited by a new program, and does not end this run with its terminal.
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Unset the MEMOS_ variables of the environment; they, and what the test sets, are restored afterwards."""
    for name in [name for name in os.environ if name.startswith("MEMOS_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for an embedded server. Pytest's own become private again when another run starts."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def home_template() -> Iterator[Path]:
    """A home for `copy_home`: a record without rows and an empty index."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield prepare_home(Path(folder, "home"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The address of a database on the test server: MEMOS_TEST_DATABASE_URL, or an embedded server of our own."""
    if url := os.environ.get("MEMOS_TEST_DATABASE_URL"):
        yield url
        return
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres", settings=SETTINGS)
        yield _run(server.start)
        _run(server.stop)


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database to copy."""
    name = f"memos_template_{uuid4().hex}"
    _run(_create_template, server_url, name)
    yield name
    _run(_execute, server_url, f"DROP DATABASE {name} WITH (FORCE)")


MARK_LEAKPROOF = "".join(f"ALTER FUNCTION pg_catalog.{function} LEAKPROOF;" for function in LEAKPROOF)
"""What a superuser does, so that statements behind row-level security use the indexes of words, tags and metadata."""


@pytest.fixture(scope="session")
def callers_role(server_url: str) -> Iterator[str]:
    """A role of the test server that may do nothing: what `MEMOS_DATABASE_ROLE` names."""
    name = f"memos_callers_{uuid4().hex}"
    _run(_execute, server_url, f"CREATE ROLE {name} NOLOGIN")
    yield name
    _run(_execute, server_url, f"DROP ROLE {name}")


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """The address of an empty database without our tables."""
    async with fresh_database(server_url) as url:
        yield url


@pytest.fixture
async def database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a migrated, empty database."""
    async with copy_of(server_url, template) as url:
        yield url


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """Create an empty database and yield its address; drop it afterwards."""
    name = f"memos_test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield _renamed(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def copy_of(server_url: str, template: str) -> AsyncIterator[str]:
    """Create a copy of a database and yield its address; drop the copy afterwards."""
    name = f"memos_test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template} {AS_FILES}")
    yield _renamed(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def pooler_url(server_url: str) -> Iterator[str]:
    """The address of a pgbouncer in transaction mode in front of the test server."""
    if PGBOUNCER is None:
        pytest.skip("needs pgbouncer; on Debian and Ubuntu: apt-get install pgbouncer")
    with pgbouncer(server_url) as url:
        yield url


@pytest.fixture
async def pooled(pooler_url: str, database_url: str, walls: str | None) -> AsyncIterator[Database]:
    """The database through the pooler alone, as where only the pooler can be reached."""
    url = _renamed(pooler_url, urlsplit(database_url).path[1:])
    database = Database(url, prepared_statements=False, callers_role=walls)
    yield database
    await database.close()


@pytest.fixture
def walls(request: pytest.FixtureRequest) -> str | None:
    """The role of callers when MEMOS_TEST_WALLS is set, so that all tests of stores run behind row-level security."""
    if os.environ.get("MEMOS_TEST_WALLS"):
        return str(request.getfixturevalue("callers_role"))
    return None


@pytest.fixture(scope="session")
def walled_settings(request: pytest.FixtureRequest) -> Iterator[Callable[[], dict[str, str]]]:
    """Returns settings of a process with a database of its own behind row-level security, when MEMOS_TEST_WALLS is set.

    Without that, processes have the bundled server.
    """
    if not os.environ.get("MEMOS_TEST_WALLS"):
        yield dict
        return
    server_url, template = request.getfixturevalue("server_url"), request.getfixturevalue("template")
    role, names = request.getfixturevalue("callers_role"), list[str]()

    def settings() -> dict[str, str]:
        names.append(f"memos_test_{uuid4().hex}")
        _run(_execute, server_url, f"CREATE DATABASE {names[-1]} TEMPLATE {template} {AS_FILES}")
        return {"MEMOS_DATABASE_URL": _renamed(server_url, names[-1]), "MEMOS_DATABASE_ROLE": role}

    yield settings
    for name in names:
        _run(_execute, server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_database(database_url: str, walls: str | None, request: pytest.FixtureRequest) -> Callable[[], Database]:
    """Returns the database anew; through a pooler as well as directly when MEMOS_TEST_POOLER is set."""
    if os.environ.get("MEMOS_TEST_POOLER"):
        url = _renamed(request.getfixturevalue("pooler_url"), urlsplit(database_url).path[1:])
        return partial(Database, url, prepared_statements=False, direct_url=database_url, callers_role=walls)
    return partial(Database, database_url, callers_role=walls)


@pytest.fixture
async def database(new_database: Callable[[], Database]) -> AsyncIterator[Database]:
    """The database."""
    database = new_database()
    yield database
    await database.close()


def _run(function: Callable[..., Awaitable[Answer]], *arguments: object) -> Answer:
    """Run this to completion in a separate thread, because this one may already run an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, function, *arguments).result()


async def _create_template(server_url: str, name: str) -> None:
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    connection = await connect(_renamed(server_url, name))
    await migrate(connection, read_migrations(migrations_folder()))
    await connection.close(timeout=5)


async def _execute(url: str, statement: str) -> None:
    connection = await connect(url)
    await connection.execute(statement)
    await connection.close(timeout=5)


def _renamed(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
