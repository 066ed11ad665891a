"""One server of tools for the whole folder."""

from collections.abc import Iterator

import pytest

from tests.orchestrator.services import Tools, serving


@pytest.fixture(scope="package")
def tools() -> Tools:
    return Tools()


@pytest.fixture(scope="package")
def place(tools: Tools) -> Iterator[str]:
    """Where the tools are served, as `host:port`."""
    with serving(tools.app) as place:
        yield place
