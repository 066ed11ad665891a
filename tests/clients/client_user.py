"""A user of real clients, with a home of its own: `make interop-clients` runs the tests that need one."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import anyio
import pytest

from tests.acceptance.servers import Server

PROGRAMS: Final = os.environ.get("MEMOS_TEST_CLIENTS")
"""The folder of the clients' programs."""

SECONDS: Final = 120

READ_THE_TOKEN_FILE: Final = {"claude-code", "opencode"}

with_real_clients: Final = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAMS is None, reason="MEMOS_TEST_CLIENTS is not set: run `make interop-clients`"),
]


class ClientUser:
    """Connects clients to a server, and runs them. `variables`: what they and our commands get in their environment."""

    def __init__(self, home: Path, server: Server) -> None:
        self.home, self.server = home, server
        self.variables = {"HOME": str(home), "PATH": f"{PROGRAMS}:{os.environ['PATH']}", "NO_COLOR": "1"}
        (home / ".gemini").mkdir()
        (home / ".gemini/trustedFolders.json").write_text(json.dumps({str(home): "TRUST_FOLDER"}))

    def memos_as(self, *arguments: str) -> str:
        """Run a command of ours; return what it prints."""
        port = self.server.url.rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "memos_mcp", *arguments],
            env={**self.variables, "MEMOS_HOME": str(self.server.home), "MEMOS_PORT": port},
            cwd=self.home,
            stdout=subprocess.PIPE,
            check=True,
            timeout=SECONDS,
        )
        return done.stdout.decode()

    def install(self, client: str, *given: str) -> None:
        self.memos_as("install", client, *given)
        if "--http" in given and client not in READ_THE_TOKEN_FILE:
            self.variables["MEMOS_TOKEN"] = (self.server.home / "http-token").read_text().strip()

    async def run(self, *command: str, variables: Mapping[str, str] | None = None) -> str:
        """Run a client; return what it prints, without colours."""
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                command,
                env={**self.variables, **(variables or {})},
                cwd=self.home,
                stderr=subprocess.STDOUT,
                check=False,
            )
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode())
