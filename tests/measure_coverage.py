"""Runs Python with coverage measured in every process that it starts, then reports; pyproject.toml has the floor.

python tests/measure_coverage.py -m pytest tests/domain

Tests start engines, bridges and commands in environments of their own, so a .pth file in the virtual environment
switches measuring on, instead of an environment variable. Processes that are killed report nothing.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
START = """
import os
try:
    os.getcwd()
    os.environ.update({settings!r})
    import coverage
    coverage.process_startup()
except OSError:
    pass
"""


def main() -> int:
    """Return the exit code of the command, or else that of the report."""
    switch = Path(sysconfig.get_path("purelib"), "memos_coverage.pth")
    with TemporaryDirectory(prefix="memos-coverage-") as folder:
        settings = {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml"), "COVERAGE_FILE": f"{folder}/data"}
        switch.write_text(f"import sys; exec({START.format(settings=settings)!r})\n")
        try:
            done = subprocess.run([sys.executable, *sys.argv[1:]], cwd=ROOT, check=False).returncode
        finally:
            switch.unlink()
        coverage = [sys.executable, "-m", "coverage"]
        environment = os.environ | {"COVERAGE_FILE": f"{folder}/data"}
        subprocess.run([*coverage, "combine", "-q"], cwd=ROOT, env=environment, check=False)
        reported = subprocess.run([*coverage, "report"], cwd=ROOT, env=environment, check=False).returncode
    return done or reported


if __name__ == "__main__":
    sys.exit(main())
