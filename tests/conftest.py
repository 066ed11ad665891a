"""A real Postgres for every test that asks: one server, one migrated template, a fresh copy for each test."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, mkdtemp
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import anyio
import hypothesis
import pytest

from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.postgres.migrate import migrate, migrations_folder, read_migrations

Answer = TypeVar("Answer")

SETTINGS = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
"""Nothing here outlives the test run."""

# How long an example takes says something of the machine, not of the code.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each run a folder of its own.

    The one that all runs of a user share is closed to other users whenever another run starts, and to the tests that
    run as root the embedded server is another user. Workers of a parallel run are given folders inside it.
    """
    if config.option.basetemp is None:
        config.option.basetemp = mkdtemp(prefix="memos-tests-")
        config.add_cleanup(partial(rmtree, config.option.basetemp, ignore_errors=True))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Take away what whoever runs the tests has set; what the test sets with the returned one goes again."""
    for name in [name for name in os.environ if name.startswith("MEMOS_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for an embedded server: pytest's own are closed to other users again whenever another run starts."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """The address of an empty database without our tables."""
    name = f"memos_test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    yield _renamed(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a migrated, empty database."""
    name = f"memos_test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _renamed(server_url, name)
    await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def _run(function: Callable[..., Awaitable[Answer]], *arguments: object) -> Answer:
    """Run this to its end, in a thread of its own: in ours, the fixtures of a package may have a loop already."""
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
