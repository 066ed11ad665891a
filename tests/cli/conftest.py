"""A home for the tests of a file."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home that the tests of a file share, so that the model is built once.

    It is none of pytest's folders, which another run deletes.
    """
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"
