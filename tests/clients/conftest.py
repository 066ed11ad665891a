"""A server for real clients, and their user."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.acceptance.servers import Server
from tests.clients.client_user import ClientUser
from tests.prepared_home import copy_home


@pytest.fixture(scope="module")
def server(home_template: Path) -> Iterator[Server]:
    """A server over HTTP, which is the engine of its home too."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        server = Server(copy_home(home_template, Path(folder, "home")), ("serve", "--port", "0"))
        try:
            assert server.url
            yield server
        finally:
            server.stop()


@pytest.fixture
def user(tmp_path: Path, server: Server) -> ClientUser:
    return ClientUser(tmp_path, server)
