"""What the commands import: the SDK and the web framework alone take half a second."""

import subprocess
import sys
from pathlib import Path

from memos_mcp import cli

SERVING = {"demo", "serving"}
"""The modules that serve, or are a client of the server."""


def test_only_commands_that_serve_import_the_sdk_of_mcp() -> None:
    modules = sorted({path.stem for path in Path(cli.__file__).parent.glob("[a-z]*.py")} - SERVING)
    program = "import sys\n" + "".join(f"import memos_mcp.cli.{name}\n" for name in modules)
    program += "print(*({'mcp', 'mcp_types', 'starlette', 'uvicorn'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
