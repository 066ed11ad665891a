"""The command that launches this installation again."""

import re
import sys
import sysconfig
from pathlib import Path
from shutil import which
from typing import Final

from memos_mcp.clients.system import Scope

COMMAND: Final = "memos-as"
_PACKAGE: Final = "memos_mcp"
_UVX_FOLDER: Final = re.compile(r"archive-v\d+|environments-v\d+")
"""Where uvx keeps the environments of what it runs, in its cache: they are removed when it is cleaned."""


def launch_command(scope: Scope) -> list[str]:
    """Return the program and its arguments.

    The files of a project are for other machines too, so they name the command without its folder.
    """
    if any(_UVX_FOLDER.fullmatch(part) for part in Path(sys.prefix).parts):
        return ["uvx" if scope == "project" else which("uvx") or "uvx", COMMAND]
    if scope == "project":
        return [COMMAND]
    program = Path(sysconfig.get_path("scripts"), f"{COMMAND}.exe" if sys.platform == "win32" else COMMAND)
    return [str(program)] if program.exists() else [sys.executable, "-m", _PACKAGE]
