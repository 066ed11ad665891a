"""`memos-as tools`: MCP servers as sources, and changes of tools, by the real program with a real server."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.user_terminal import in_pipe, on_terminal, user_of, without_styles
from tests.tool_calling import tool_server
from tests.tool_calling.tool_server import calls

NAMES = ("echo", "text", "picture", "fails")


@pytest.fixture(scope="module")
def user(home: Path) -> Iterator[dict[str, str]]:
    yield user_of(home)
    in_pipe(user_of(home), ["stop"])


@pytest.fixture
def state(tmp_path: Path) -> Path:
    offer(tmp_path, *NAMES)
    return tmp_path


def offer(state: Path, *names: str, **changed: Any) -> None:
    """Have the server list these tools."""
    (state / "tools.json").write_text(json.dumps({name: changed.get(name, {}) for name in names}))


def add(user: dict[str, str], state: Path, *options: str, name: str = "files") -> dict[str, Any]:
    """Add the server as a source; return what is printed as JSON."""
    program = [sys.executable, str(tool_server.__file__), str(state)]
    done = in_pipe(user, ["tools", "add-mcp", name, "--json", *options, "--", *program])
    assert done.returncode == 0, done.stderr
    (source,) = json.loads(done.stdout)["sources"]
    return dict(source)


def listed(user: dict[str, str], *options: str) -> list[str]:
    tools = json.loads(in_pipe(user, ["tools", "list", "--json", *options]).stdout)["tools"]
    return [tool["tool_id"] for tool in tools]


def test_a_source_is_added_followed_and_removed(user: dict[str, str], state: Path) -> None:
    dry = add(user, state, "--dry-run")
    assert dry["added"] == [f"files.{name}" for name in NAMES]
    assert (listed(user), Path(user["MEMOS_HOME"], "tool_servers.json").exists()) == ([], False)

    assert add(user, state)["added"] == dry["added"]
    assert add(user, state)["unchanged"] == dry["added"]
    assert listed(user, "--source", "files") == sorted(dry["added"])

    offer(state, "echo", "text", "new one", "x" * 255, text={"description": "Returns another text."})
    synced = in_pipe(user, ["tools", "sync"])
    assert synced.returncode == 1
    assert synced.stdout.splitlines() == [
        "added\tfiles.new one\t",
        "updated\tfiles.text\t",
        "disabled\tfiles.fails\t",
        "disabled\tfiles.picture\t",
        f"refused\tfiles.{'x' * 255}\ttool_id has 261 characters; the limit is 255. Shorten it.",
    ]
    assert synced.stderr == "memos-as: files: 1 added, 1 updated, 1 unchanged, 2 disabled, 1 refused.\n"
    assert listed(user, "--disabled") == ["files.fails", "files.picture"]
    code, printed = on_terminal(user, 100, "tools", "list", "--disabled")
    assert (code, "files no longer has it" in without_styles(printed)) == (0, True)

    removed = in_pipe(user, ["tools", "remove", "files"])
    assert (removed.returncode, removed.stderr) == (0, "memos-as: files: 5 unregistered.\n")
    assert listed(user) == []
    assert json.loads(Path(user["MEMOS_HOME"], "tool_servers.json").read_text()) == {}
    assert in_pipe(user, ["tools", "remove", "files"]).returncode == 1
    assert calls(state) == []


def test_tools_are_disabled_enabled_checked_and_unregistered(user: dict[str, str], state: Path) -> None:
    add(user, state)
    assert in_pipe(user, ["tools", "disable", "files.echo"]).stdout == "files.echo\n"
    assert "files.echo" not in listed(user)
    add(user, state)
    assert listed(user, "--disabled") == ["files.echo"]
    wrong = in_pipe(user, ["tools", "enable", "files.echo", "nothing"])
    assert (wrong.returncode, wrong.stdout) == (1, "files.echo\n")
    assert wrong.stderr == "memos-as: nothing is not registered in namespace default.\n"

    good = in_pipe(user, ["tools", "check", "files.echo"])
    assert (good.returncode, good.stdout) == (0, "files.echo\tmcp://files/echo\tcan be reached\n")
    offer(state, "echo", "text", text={"description": "Returns another text."})
    checked = in_pipe(user, ["tools", "check", "--json"])
    assert checked.returncode == 1
    assert [row["problem"] for row in json.loads(checked.stdout)["tools"]] == [
        None,
        "Its server no longer lists it: memos-as tools sync files",
        "Its server no longer lists it: memos-as tools sync files",
        "Its server describes it otherwise now: memos-as tools sync files",
    ]
    assert in_pipe(user, ["tools", "unregister", "files.fails", "files.text"]).returncode == 0
    assert listed(user) == ["files.echo", "files.picture"]
    assert in_pipe(user, ["tools", "remove", "files"]).returncode == 0
    assert calls(state) == []


def test_a_server_that_cannot_be_used_is_not_kept(user: dict[str, str], tmp_path: Path) -> None:
    for arguments, problem in (
        (["--", "/does/not/exist"], "cannot be used: it cannot be started: No such file or directory"),
        (["--", sys.executable, "-c", ""], "cannot be used: it ended before it answered"),
        (["--env", "UNSET_VARIABLE", "--", "true"], "it needs the variable UNSET_VARIABLE"),
        (["--", "server", "--api-key=canary-8a1f27"], "--api-key would show a secret"),
        (["--url", "https://mcp.example.com/mcp"], "MEMOS_TOOL_HOSTS"),
        (["--url", "https://user:canary-8a1f27@mcp.example.com/"], "holds credentials"),
        (["--url", "mcp.example.com"], "must start with http:// or https://"),
    ):
        refused = in_pipe(user, ["tools", "add-mcp", "wrong", *arguments])
        assert (refused.returncode, refused.stdout) == (1, ""), arguments
        assert problem in refused.stderr
        assert "canary" not in refused.stderr
        assert "Traceback" not in refused.stderr
    assert listed(user) == []
    assert in_pipe(user, ["tools", "sync", "wrong"]).stderr.splitlines()[0].endswith("memos-as tools add-mcp adds it.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["add-mcp", "x"], "give either --url URL, or -- and the command"),
        (["add-mcp", "x", "--url", "https://x.example", "--", "command"], "give either --url URL, or --"),
        (["add-mcp", "x", "--auth", "key", "--", "command"], "--auth is for --url"),
        (["add-mcp", "x", "--env", "KEY", "--url", "https://x.example"], "--env is for a command"),
        (["list", "--disabled", "--has", "network"], "--source and --disabled do not go with"),
    ],
)
def test_wrong_options_are_refused(user: dict[str, str], arguments: list[str], problem: str) -> None:
    refused = in_pipe(user, ["tools", *arguments])
    assert refused.returncode == 2
    assert problem in refused.stderr
