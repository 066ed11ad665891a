"""A server whose processes are all stopped: it accepts connections, and answers nothing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def frozen(data: Path) -> Iterator[None]:
    """Stop the server of this data folder, and continue it at the end."""
    postmaster = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    # First the postmaster, so that it starts no more.
    postmaster.suspend()
    processes = [postmaster, *postmaster.children(recursive=True)]
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
