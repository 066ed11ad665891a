"""The hooks that an installation writes: their commands, and what a user has changed of them."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.clients.hook_entries import HookProgram, HooksPart
from memos_mcp.clients.installation import installation, removal
from memos_mcp.clients.known_clients import CLIENTS, KnownClient
from memos_mcp.clients.known_hooks import CLAUDE_CODE, CURSOR
from memos_mcp.clients.server_entry import LaunchedServer, RemoteServer
from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Invalid
from memos_mcp.hooks.events import RULES

WITH_HOOKS = [client for client in CLIENTS if client.hooks is not None]
CLAUDE = next(client for client in CLIENTS if client.name == "claude-code")
SERVER = LaunchedServer("memos-as")
PROGRAM = HookProgram(("memos-as",))


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System("linux", tmp_path, tmp_path / "shop", {})


def settings_of(system: System) -> Path:
    path = system.home / ".claude/settings.json"
    path.parent.mkdir(exist_ok=True)
    return path


def hooks_in(path: Path) -> Any:
    return json.loads(path.read_text())["hooks"]


@pytest.mark.parametrize("client", WITH_HOOKS, ids=lambda client: client.name)
def test_the_events_of_a_client_are_those_that_a_hook_answers_or_keeps_a_message_of(client: KnownClient) -> None:
    assert client.hooks is not None
    for event in client.hooks.events:
        rule = RULES[event]
        assert (event in client.hooks.messages) == bool(rule.text)
        assert (event in client.hooks.recall) == (bool(rule.takes_context) or rule.meaning == "forget")
        assert rule.takes_context in ("", "nested" if client.hooks.grouped else "flat")


def test_every_event_that_a_hook_knows_is_one_of_a_client() -> None:
    assert {event for client in WITH_HOOKS if client.hooks for event in client.hooks.events} == RULES.keys()


def test_messages_are_kept_by_the_hooks_of_an_installation_that_captures_only() -> None:
    recalled, captured = (CLAUDE_CODE.commands(HookProgram(("memos-as",), {}, keeps)) for keeps in (False, True))
    assert "Stop" not in recalled
    assert not [command for command in recalled.values() if "--capture" in command]
    assert [event for event, command in captured.items() if command.endswith(" --capture")] == [
        "UserPromptSubmit", "Stop"
    ]  # fmt: skip


def test_an_installation_without_capture_takes_its_hooks_away(system: System) -> None:
    installation(CLAUDE, "user", system, SERVER, HookProgram(("memos-as",), captures=True)).write()
    installation(CLAUDE, "user", system, SERVER, PROGRAM).write()
    assert "Stop" not in hooks_in(settings_of(system))
    assert "--capture" not in settings_of(system).read_text()


def test_an_installation_without_hooks_leaves_those_of_the_client(system: System) -> None:
    installation(CLAUDE, "user", system, SERVER, PROGRAM).write()
    before = settings_of(system).read_bytes()
    installation(CLAUDE, "user", system, LaunchedServer("/opt/memos-as")).write()
    assert settings_of(system).read_bytes() == before


def test_hooks_ask_in_the_scope_that_the_server_has_and_get_no_secret(system: System) -> None:
    variables = {"MEMOS_NAMESPACE": "the shop", "MEMOS_DATABASE_URL": "postgresql://u:secret@h/d"}
    installation(CLAUDE, "user", system, LaunchedServer("memos-as", (), variables)).write()
    installation(CLAUDE, "user", system, SERVER, PROGRAM).write()
    (group,) = hooks_in(settings_of(system))["SessionStart"]
    assert group["hooks"][0]["command"].endswith("; env 'MEMOS_NAMESPACE=the shop' memos-as hook SessionStart")
    assert "secret" not in settings_of(system).read_text()


def test_hooks_beside_a_server_over_http_ask_in_the_scope_that_is_given(system: System) -> None:
    program = HookProgram(("memos-as",), {"MEMOS_HOME": "/srv/memory"})
    installation(CLAUDE, "user", system, RemoteServer("http://127.0.0.1:8766/mcp"), program).write()
    assert "env MEMOS_HOME=/srv/memory memos-as hook SessionStart" in settings_of(system).read_text()


def test_what_a_user_has_added_to_a_hook_stays(system: System) -> None:
    own = {"matcher": "startup", "hooks": [{"type": "command", "command": "memos-as hook SessionStart", "timeout": 9}]}
    settings_of(system).write_text(json.dumps({"hooks": {"SessionStart": [own]}}))
    installation(CLAUDE, "user", system, SERVER, HookProgram(("/opt/memos-as",))).write()
    (group,) = hooks_in(settings_of(system))["SessionStart"]
    assert (group["matcher"], group["hooks"][0]["timeout"]) == ("startup", 9)
    assert group["hooks"][0]["command"].endswith("; /opt/memos-as hook SessionStart")
    removal(CLAUDE, "user", system).write()
    assert settings_of(system).read_text() == "{}"


def test_a_hook_in_a_group_with_another_one_leaves_that_one(system: System) -> None:
    other = {"type": "command", "command": "notify --to memos-as"}
    own = {"type": "command", "command": "uvx memos-as hook Stop --capture"}
    settings_of(system).write_text(json.dumps({"hooks": {"Stop": [{"hooks": [own, other]}, {"hooks": [own]}]}}))
    removal(CLAUDE, "user", system).write()
    assert hooks_in(settings_of(system)) == {"Stop": [{"hooks": [other]}]}


@pytest.mark.parametrize("hooks", [[], {"SessionStart": {}}, "none"])
def test_hooks_of_another_form_are_not_replaced(system: System, hooks: Any) -> None:
    settings_of(system).write_text(json.dumps({"hooks": hooks}))
    with pytest.raises(Invalid, match=r"settings\.json was not changed, because .* is no (list|object)\. Change the"):
        installation(CLAUDE, "user", system, SERVER, PROGRAM)
    assert not (system.home / ".claude.json").exists()


def test_a_client_without_hooks_is_refused_with_what_to_leave_out(system: System) -> None:
    zed = next(client for client in CLIENTS if client.name == "zed")
    with pytest.raises(Invalid, match=r"Zed has no hooks for this\. Leave out --hooks\."):
        installation(zed, "user", system, SERVER, PROGRAM)


def test_the_hook_of_a_program_that_was_removed_prints_nothing_and_exits_with_0() -> None:
    command = CLAUDE_CODE.commands(HookProgram(("/no where/memos-as",)))["SessionStart"]
    done = subprocess.run(["/bin/sh", "-c", command], input=b"{}", capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_path_with_spaces_is_found_again() -> None:
    for hooks in (CLAUDE_CODE, CURSOR):
        commands = hooks.commands(HookProgram(("/a b/memos-as",), {"MEMOS_HOME": "/c d"}, captures=True))
        part = HooksPart(hooks)
        text = part.put("{}", commands)
        assert part.found(text) == commands
        assert part.taken_out(text) == "{}"
