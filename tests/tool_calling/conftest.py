"""One server of tools for all tests of a package."""

from collections.abc import Iterator

import pytest

from tests.tool_calling.endpoints import Tools, serving


@pytest.fixture(scope="package")
def tools() -> Tools:
    return Tools()


@pytest.fixture(scope="package")
def tool_host(tools: Tools) -> Iterator[str]:
    """The `host:port` of the tools."""
    with serving(tools.app) as host:
        yield host
