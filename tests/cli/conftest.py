"""A home for the tests of a file."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.prepared_home import copy_home


@pytest.fixture(scope="module")
def home(home_template: Path) -> Iterator[Path]:
    """A home without memories and tools that the tests of a file share.

    It is none of pytest's folders, which another run deletes.
    """
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield copy_home(home_template, Path(folder, "home"))
