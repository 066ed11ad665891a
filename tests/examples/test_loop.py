"""The demo of the loop, with all its processes."""

import re
import subprocess
import sys

import pytest

from tests.examples.conftest import EXAMPLES


def test_the_loop_passes_all_its_checks() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "loop/run.py"], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "NOT SEEN" not in done.stdout
    last = re.search(r"^(\d+) of \1 things seen$", done.stdout, re.MULTILINE)
    assert last is not None
    assert int(last[1]) == done.stdout.count("  seen: ") == 23


@pytest.mark.slow
def test_the_loop_reports_an_unreachable_cortex_and_stops_all_processes() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "loop/run.py", "--cortex-url", "http://127.0.0.1:1/v1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "cortex down: the model's endpoint cannot be reached" in done.stdout
    assert "  seen: no process is running" in done.stdout
    assert "not seen: the library is on the list" in done.stdout
