"""The paths of a content and of a query that ARCHITECTURE.md describes are those that tracing finds."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import text_path

ROOT = Path(__file__).parents[2]


def described(title: str) -> list[str]:
    """Return the files of the numbered list after a title."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    numbered = text.partition(title)[2].lstrip(".:\n").partition("\n\n")[2].partition("\n\n")[0]
    return re.findall(r"`([a-z_/0-9]+\.py)`", numbered)


@pytest.mark.slow
def test_the_architecture_describes_the_traced_paths() -> None:
    traced = subprocess.run(
        [sys.executable, text_path.__file__, "--json"], capture_output=True, check=True, timeout=120
    ).stdout
    stored, queried = json.loads(traced)
    assert sorted(described("The path of a memory and of a query")) == sorted(stored)
    assert sorted(described("The text of a query passes")) == sorted(queried)
    assert (len(stored), len(queried)) == (27, 20)
