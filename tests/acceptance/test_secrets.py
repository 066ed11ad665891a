"""Secrets of credentials are in nothing that the program writes, shows or stores, although servers repeat them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.repeating_tools import command_lines
from tests.acceptance.traces import outputs, unpacked, written
from tests.cli.user_terminal import in_pipe, user_of
from tests.tool_calling import tool_server
from tests.tool_calling.endpoints import serving
from tests.tool_calling.test_mcp_over_http import Guarded

BEARER, BASIC, QUERY, VARIABLE = (f"canary-{name}-8a1f27" for name in ("bearer", "basic", "query", "variable"))
CANARIES = (BEARER, BASIC, QUERY, VARIABLE, "bWU6Y2FuYXJ5LWJhc2ljLThhMWYyNw==", "canary-")
"""The secrets, the form in which Basic sends one, and what they all contain."""

CALLS = """
import anyio, psutil, sys
from memos_mcp.cli.command_line import _log_to_stderr
from memos_mcp.composition.tool_calling import tool_setup
from memos_mcp.settings import Settings
from memos_mcp.tool_calling.called_tool import CalledTool
async def main():
    settings = Settings()
    async with tool_setup(settings).server_caller(stderr=None) as servers:
        for tool in ("echo", "environment", "fails"):
            called = CalledTool(tool, f"mcp://program/{tool}")
            answer = await servers.call(called, {"word": "planted in the arguments"})
            print(answer)
        print(await servers.call(CalledTool("text", "mcp://web/text"), {}))
    print(*(child.cmdline() for child in psutil.Process().children(recursive=True)))
_log_to_stderr(Settings(log_level="debug"))
anyio.run(main)
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A user with credentials of every kind, and MCP servers that repeat what they are given."""
    state = tmp_path_factory.mktemp("state")
    described = {"description": f"Is called with {BEARER}.", "title": f"Text {BEARER}"}
    (state / "tools.json").write_text(json.dumps({"text": described}))
    guarded = Guarded(tool_server.build(state).streamable_http_app(host="any"), expected=f"Bearer {BEARER}")
    guarded.refusal = f"{BASIC} {BEARER} is wrong"
    with serving(guarded) as host:
        environment = user_of(tmp_path_factory.mktemp("user") / "home") | {
            "MEMOS_LOG_LEVEL": "debug",
            "MEMOS_TOOL_PRIVATE_HOSTS": host,
            "MEMOS_CREDENTIAL_QUERY": QUERY,
            "PROGRAM_TOKEN": VARIABLE,
            "WEB_HOST": host,
            "STATE": str(tmp_path_factory.mktemp("program")),
        }
        yield environment
        in_pipe(environment, ["stop"])


@pytest.mark.slow
def test_no_secret_is_in_anything_that_is_written_shown_or_stored(user: dict[str, str], tmp_path: Path) -> None:
    host, home = user["WEB_HOST"], Path(user["MEMOS_HOME"])
    program = [sys.executable, str(tool_server.__file__), user["STATE"]]
    printed = [
        *outputs(user, ("credential", "set", "web", "--host", host, "--bearer"), given=BEARER),
        *outputs(user, ("credential", "set", "other", "--host", host, "--basic"), given=f"me:{BASIC}"),
        *outputs(user, ("credential", "set", "query", "--host", host, "--query", "key", "--from-env")),
        *outputs(
            user,
            ("tools", "add-mcp", "web", "--url", f"http://{host}/mcp", "--auth", "web", "--json"),
            ("tools", "add-mcp", "refused", "--url", f"http://{host}/mcp", "--auth", "other"),
            ("tools", "add-mcp", "refused", "--url", f"http://{host}/mcp", "--auth", "query"),
            ("tools", "add-mcp", "program", "--env", "PROGRAM_TOKEN", "--", *program),
        ),
    ]
    assert '"web.text"' in printed[3]
    assert "it answers with status 401" in printed[4]
    assert "added\tprogram.environment" in printed[6]
    calls = subprocess.run(
        [sys.executable, "-c", CALLS], env=user, capture_output=True, text=True, timeout=90, check=False
    )
    assert "[variable PROGRAM_TOKEN]" in calls.stdout, calls.stderr
    assert "planted in the arguments" in calls.stdout
    assert "planted" not in calls.stderr  # whose level is debug
    assert "DEBUG" in calls.stderr
    printed += [
        calls.stdout,
        calls.stderr,
        *outputs(
            user,
            ("credential", "list"),
            ("credential", "list", "--json"),
            ("tools", "list", "--json"),
            ("tools", "show", "web.text", "--json"),
            ("tools", "check", "--json"),
            ("tools", "sync", "--json"),
            ("tools", "search", "is called with", "--json"),
            ("status", "--json"),
            ("doctor", "--json"),
            ("export", str(tmp_path / "export"), "--all-namespaces"),
            ("backup", str(tmp_path / "backup")),
        ),
    ]
    processes = list(command_lines())
    assert any(str(home) in line or "memos_mcp" in line for line in processes)
    files = written(home, without="credentials.json")
    assert {"logs/engine.log", "tool_servers.json"} <= files.keys()
    kept = [*files.values(), (tmp_path / "export").read_bytes(), unpacked(tmp_path / "backup")]
    for text in [*(text.encode() for text in [*printed, *processes]), *kept]:
        assert [canary for canary in CANARIES if canary.encode() in text] == [], text[:3000]
    assert BEARER in (home / "credentials.json").read_text()
