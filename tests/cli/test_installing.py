"""`install` and `uninstall`: what they print, write and refuse."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.clients import launch_command as launching


@pytest.fixture
def user(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> Path:
    """The home of a user, in which the commands run."""
    nothing_set.setenv("HOME", str(tmp_path))
    nothing_set.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / "shop").mkdir()
    nothing_set.chdir(tmp_path / "shop")
    return tmp_path


def run(*arguments: str) -> int:
    return main(arguments)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_install_prints_the_change_writes_it_and_does_it_once(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install", "cursor", "--namespace", "work") == 0
    shown = capsys.readouterr()
    assert "+++ " + str(user / ".cursor/mcp.json") in shown.out
    assert '+        "MEMOS_NAMESPACE": "work"' in shown.out
    assert "was written" in shown.err
    assert "With --hooks, it also recalls" in shown.err
    entry = read(user / ".cursor/mcp.json")["mcpServers"]["memos"]
    assert Path(entry["command"]).is_absolute()
    assert entry["env"] == {"MEMOS_NAMESPACE": "work"}
    assert run("install", "cursor", "--namespace", "work") == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "connected already" in shown.err
    assert run("uninstall", "cursor") == 0
    assert not (user / ".cursor/mcp.json").exists()
    assert run("uninstall", "cursor") == 0
    assert "not connected" in capsys.readouterr().err


def test_hooks_are_written_with_the_server_in_its_scope_and_removed_with_it(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(user / "memory"))
    hooks = user / ".codex/hooks.json"
    given = ("install", "codex", "--hooks", "--capture", "--namespace", "work")
    assert run(*given, "--dry-run") == 0
    assert f"+++ {hooks}" in capsys.readouterr().out
    assert not hooks.exists()
    assert run(*given) == 0
    shown = capsys.readouterr()
    assert f"+++ {user}/.codex/config.toml" in shown.out
    assert f"+++ {hooks}" in shown.out
    assert f"{hooks} was written." in shown.err
    assert "Codex runs none that you have not trusted." in shown.err
    (group,) = read(hooks)["hooks"]["UserPromptSubmit"]
    command = group["hooks"][0]["command"]
    assert f"; env MEMOS_HOME={user}/memory MEMOS_NAMESPACE=work " in command
    assert command.endswith(" hook UserPromptSubmit --capture")
    assert run(*given) == 0
    assert "connected already" in capsys.readouterr().err
    assert run("install", "codex", "--scope", "project", "--hooks") == 0
    assert str(user) not in (user / "shop/.codex/hooks.json").read_text()
    assert run("uninstall", "codex") == 0
    assert not hooks.exists()


def test_hooks_beside_a_server_over_http_ask_in_the_namespace_of_the_settings(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_NAMESPACE", "work")
    assert run("install", "gemini", "--http", "--hooks") == 0
    assert "env MEMOS_NAMESPACE=work " in (user / ".gemini/settings.json").read_text()
    assert capsys.readouterr().err.count("was written") == 1


def test_a_dry_run_prints_the_change_and_writes_nothing(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install", "codex", "--dry-run") == 0
    assert "+[mcp_servers.memos]" in capsys.readouterr().out
    assert not (user / ".codex").exists()


def test_a_data_folder_that_is_named_is_written_for_the_user_only(user: Path, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("MEMOS_HOME", str(user / "memory"))
    assert run("install", "vscode") == 0
    assert run("install", "vscode", "--scope", "project") == 0
    assert read(user / ".config/Code/User/mcp.json")["servers"]["memos"]["env"] == {"MEMOS_HOME": str(user / "memory")}
    assert read(user / "shop/.vscode/mcp.json")["servers"]["memos"] == {
        "type": "stdio", "command": "memos-as", "args": []
    }  # fmt: skip


def test_the_files_of_a_project_name_nothing_of_this_machine(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("claude-code", "cursor", "vscode", "codex", "gemini", "zed", "continue", "opencode"):
        assert run("install", name, "--scope", "project") == 0
        for given in ([], ["--http"]) if name != "zed" else ([],):
            assert run("install", name, "--scope", "project", *given) == 0
            texts = [path.read_text() for path in user.joinpath("shop").rglob("*") if path.is_file()]
            assert all(str(user) not in text and sys.prefix not in text for text in texts)
    capsys.readouterr()


def test_what_uvx_runs_is_written_as_a_command_of_uvx(user: Path, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setattr(sys, "prefix", str(user / ".cache/uv/archive-v0/Xy12"))
    nothing_set.setattr(launching, "which", lambda name: f"/usr/bin/{name}")
    assert run("install", "cursor") == 0
    assert run("install", "cursor", "--scope", "project") == 0
    commands = {
        scope: read(path)["mcpServers"]["memos"]
        for scope, path in (("user", user / ".cursor/mcp.json"), ("project", user / "shop/.cursor/mcp.json"))
    }
    assert commands == {
        "user": {"command": "/usr/bin/uvx", "args": ["memos-as"]},
        "project": {"command": "uvx", "args": ["memos-as"]},
    }


def test_a_server_over_http_is_that_of_the_settings_or_of_a_url(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_PORT", "9000")
    assert run("install", "opencode", "--http") == 0
    file = user / ".config/opencode/opencode.json"
    token = user / ".local/share/memos-as/http-token"
    assert read(file)["mcp"]["memos"]["url"] == "http://127.0.0.1:9000/mcp"
    assert read(file)["mcp"]["memos"]["headers"] == {"Authorization": f"Bearer {{file:{token}}}"}
    assert run("install", "codex", "--http", "https://memos.example.com/mcp") == 0
    assert "Set MEMOS_TOKEN in its environment" in capsys.readouterr().err
    assert 'bearer_token_env_var = "MEMOS_TOKEN"' in (user / ".codex/config.toml").read_text()
    assert run("install", "zed", "--http", "https://memos.example.com/mcp", "--no-token") == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("install", "nope"), "'nope' is no client that is known here."),
        (("install", "--namespace", "work"), "Name the client to connect"),
        (("install", "cursor", "--no-token"), "--no-token is for --http."),
        (("install", "cursor", "--capture"), "--capture is for --hooks."),
        (("install", "--hooks"), "Name the client to connect"),
        (("install", "windsurf", "--hooks"), "Leave out --hooks."),
        (("install", "codex", "--hooks", "--http", "https://memos.example.com/mcp"), "Leave out --hooks."),
        (("install", "cursor", "--http", "--namespace", "work"), "the namespace is that of the token"),
        (("install", "cursor", "--http", "memos.example.com"), "'memos.example.com' is no URL"),
        (("install", "zed", "--http"), "Leave out --http"),
        (("install", "goose", "--scope", "project"), "goose has no configuration of a project."),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    user: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert run(*arguments) == 1
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert [path for path in user.rglob("*") if path.is_file()] == []


def test_install_without_a_client_lists_those_that_were_found(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (user / ".gemini").mkdir()
    (user / ".cursor").mkdir()
    (user / ".cursor/mcp.json").write_text("{,}")
    assert run("install", "codex", "--hooks") == 0
    capsys.readouterr()
    assert run("install") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        f"cursor\tuser\tbroken\tno\t{user}/.cursor/mcp.json",
        f"codex\tuser\tconnected\tyes\t{user}/.codex/config.toml",
        f"gemini\tuser\tnot connected\tno\t{user}/.gemini/settings.json",
    ]
    assert f"{user}/.cursor/mcp.json:1:2: expected a name in quotes." in shown.err
    assert "Not found: claude-code, claude-desktop, vscode, zed," in shown.err
    (user / ".codex/hooks.json").write_text("{,}")
    assert run("install", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["clients"]
    assert [(row["state"], row["hooks"]) for row in rows] == [
        ("broken", False), ("connected", False), ("not connected", False)
    ]  # fmt: skip


def test_the_libraries_of_installing_are_imported_by_no_server() -> None:
    from subprocess import check_output

    program = (
        "import sys, memos_mcp.cli.command_line; print([name for name in sys.modules if 'memos_mcp.clients' in name])"
    )
    assert check_output([sys.executable, "-c", program], text=True).strip() == "[]"
