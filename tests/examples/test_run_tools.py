"""The demo of tools that are added by command, with all its processes."""

import re
import subprocess
import sys

import pytest

from tests.examples.conftest import EXAMPLES


@pytest.mark.slow
def test_tools_of_an_openapi_service_and_an_mcp_server_are_found_and_called() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "loop/run_tools.py"], capture_output=True, text=True, check=False, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, "")
    last = re.search(r"^(\d+) of \1 things seen$", done.stdout, re.MULTILINE)
    assert last is not None
    assert int(last[1]) == done.stdout.count("  seen: ") == 34
