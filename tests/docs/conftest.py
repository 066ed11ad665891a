"""One workspace for all examples."""

from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from tests.docs.workspace import Workspace
from tests.prepared_home import copy_home


@pytest.fixture(scope="module")
async def workspace(home_template: Path) -> AsyncIterator[Workspace]:
    """A workspace whose engine is stopped at the end; not in pytest's own folder, which is closed to other users."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        workspace = Workspace(Path(folder) / "user")
        copy_home(home_template, workspace.home)
        try:
            yield workspace
        finally:
            with anyio.CancelScope(shield=True):
                await workspace.run(["memos-as", "stop"])
