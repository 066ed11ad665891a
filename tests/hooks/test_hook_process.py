"""The command as a client runs it, with a real engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.hooks.engine_call import call
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home

TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5"  # invented
PORT = "The staging database of the shop listens on port 6543."


def hook(home: Path, event: str, *options: str, **given: Any) -> dict[str, Any] | None:
    """Run the command with this input; return what it answers. It must succeed and complain of nothing."""
    ran = subprocess.run(
        [sys.executable, "-m", "memos_mcp", "hook", event, *options],
        input=json.dumps({"session_id": "s", "cwd": "/home/ada/shop", **given}).encode(),
        env={"PATH": os.environ["PATH"], "MEMOS_HOME": str(home)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert ran.stderr == b""
    return json.loads(ran.stdout) if ran.stdout else None


def context(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    text: str = answer["hookSpecificOutput"]["additionalContext"]
    return text


def tool(home: Path, name: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool of the engine, which may be starting."""
    deadline = time.monotonic() + 60
    while (answer := call({"MEMOS_HOME": str(home)}, name, arguments, deadline)) is None:
        assert time.monotonic() < deadline
    return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, home_template: Path) -> Iterator[Server]:
    server = Server(copy_home(home_template, tmp_path_factory.mktemp("hooks") / "home"))
    for content in (PORT, "Bananas ripen in a paper bag."):
        tool(server.home, "store_memory", content=content, kind="semantic")
    deadline = time.monotonic() + 60
    while "dense" not in tool(server.home, "query_memory", query=PORT)["memories"][0]["signals"]:
        assert time.monotonic() < deadline
    yield server
    server.stop()


def test_a_memory_near_to_a_prompt_is_shown_once_in_a_session(server: Server) -> None:
    asked = {"prompt": "Which port does the staging database use?"}
    shown = context(hook(server.home, "UserPromptSubmit", "--within", "20000", **asked))
    assert PORT in shown
    assert "Bananas" not in shown
    assert hook(server.home, "UserPromptSubmit", "--within", "20000", **asked) is None
    assert PORT in context(hook(server.home, "UserPromptSubmit", "--within", "20000", **asked, session_id="other"))
    assert hook(server.home, "PreCompact", trigger="auto") is None
    assert PORT in context(hook(server.home, "UserPromptSubmit", "--within", "20000", **asked))


def test_a_session_starts_with_what_is_known_of_its_folder_in_its_namespace(server: Server) -> None:
    started = hook(server.home, "SessionStart", "--within", "20000", cwd="/home/ada/staging database")
    assert PORT in context(started)
    empty = ("--within", "20000", "--namespace", "empty")
    assert hook(server.home, "SessionStart", *empty, cwd="/home/ada/staging database") is None


def test_messages_are_stored_only_when_asked_for_and_without_secrets(server: Server) -> None:
    hook(server.home, "UserPromptSubmit", session_id="kept", prompt="Not stored: a quokka.")
    hook(server.home, "UserPromptSubmit", "--capture", session_id="kept", prompt=f"Deploy with {TOKEN} please.")
    hook(server.home, "Stop", "--capture", session_id="kept", last_assistant_message="Deployed the shop.")
    listed: list[dict[str, Any]] = []
    deadline = time.monotonic() + 30
    while len(listed) < 2:
        assert time.monotonic() < deadline
        listed = tool(server.home, "query_memory", session_id="kept")["memories"]
    stored = {(memory["metadata"]["role"], memory["content"], memory["kind"]) for memory in listed}
    assert stored == {
        ("user", "Deploy with [secret removed] please.", "episodic"),
        ("assistant", "Deployed the shop.", "episodic"),
    }


def test_a_frozen_engine_is_not_waited_for(server: Server) -> None:
    engine = server.engine
    assert engine is not None
    os.kill(engine, signal.SIGSTOP)
    try:
        assert hook(server.home, "UserPromptSubmit", session_id="frozen", prompt="Which port?") is None
    finally:
        os.kill(engine, signal.SIGCONT)


def test_without_an_engine_nothing_is_printed_and_none_is_started(tmp_path: Path) -> None:
    assert hook(tmp_path / "home", "SessionStart", "--capture") is None
    assert not (tmp_path / "home" / "run").exists()


@pytest.mark.parametrize("given", [b"", b"[]", b"{", b'{"session_id": "s", "prompt": 7}', b"\xff"])
def test_an_input_that_is_not_understood_is_answered_with_nothing(tmp_path: Path, given: bytes) -> None:
    command = [sys.executable, "-m", "memos_mcp", "hook", "UserPromptSubmit"]
    ran = subprocess.run(
        command, input=given, env={"MEMOS_HOME": str(tmp_path)}, capture_output=True, check=True, timeout=60
    )
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_an_input_that_never_ends_does_not_hold_up_the_client(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memos_mcp", "hook", "SessionStart"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env={"MEMOS_HOME": str(tmp_path)}) as process:
        assert process.wait(60) == 0


def test_an_unknown_event_names_the_known_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "memos_mcp", "hook", "Notification"]
    ran = subprocess.run(command, input=b"{}", env={"MEMOS_HOME": str(tmp_path)}, capture_output=True, check=True)
    assert ran.stdout == b""
    assert b"no event 'Notification'. There are: SessionStart, " in ran.stderr
