"""What the commands import: the SDK and the web framework alone take half a second."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from memos_mcp import cli

SERVING = {"demo", "serving"}
"""The modules that serve, or are a client of the server."""


def imported_by(modules: Iterable[str], names: set[str]) -> list[str]:
    program = "import sys\n" + "".join(f"import memos_mcp.cli.{name}\n" for name in modules)
    program += f"print(*({names} & sys.modules.keys()))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


def test_only_commands_that_serve_import_the_sdk_of_mcp() -> None:
    modules = {path.stem for path in Path(cli.__file__).parent.glob("[a-z]*.py")} - SERVING
    assert imported_by(sorted(modules), {"mcp", "mcp_types", "starlette", "uvicorn"}) == []


def test_imports_and_ingestions_of_what_has_no_schema_import_no_validator() -> None:
    assert imported_by(("importing", "ingesting"), {"jsonschema", "referencing"}) == []
