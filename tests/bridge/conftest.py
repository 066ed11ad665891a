from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bridge.scripted import Client, Engine, Session, launched


@pytest.fixture
def engine(home: Path) -> Iterator[Engine]:
    engine = Engine(home)
    yield engine
    engine.close()


@pytest.fixture
def client(home: Path) -> Iterator[Client]:
    with launched(home) as client:
        yield client


@pytest.fixture
def session(engine: Engine, client: Client) -> Session:  # noqa: ARG001  # it connects
    return engine.accept()
