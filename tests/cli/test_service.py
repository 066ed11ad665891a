"""`memos-as service`: the file that it writes, and what it asks the system manager for."""

import os
import socket
import sys
from pathlib import Path

import pytest

from memos_mcp.cli import serving_at_login
from memos_mcp.cli.command_line import main

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the manager here is not systemd")


@pytest.fixture
def user(tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> Path:
    """The home of a user, whose systemctl records what it is asked for, and fails if `broken` exists."""
    nothing_set.setenv("HOME", str(tmp_path))
    nothing_set.delenv("XDG_CONFIG_HOME", raising=False)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n[ ! -e {tmp_path}/broken ] || {{ echo "No bus" >&2; exit 1; }}\n'
    )
    (programs / "systemctl").chmod(0o755)
    nothing_set.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with socket.create_server(("127.0.0.1", 0)) as free:
        nothing_set.setenv("MEMOS_PORT", str(free.getsockname()[1]))
    return tmp_path


def asked(user: Path) -> list[str]:
    lines = (user / "asked").read_text().splitlines() if (user / "asked").exists() else []
    (user / "asked").unlink(missing_ok=True)
    return lines


UNIT = ".config/systemd/user/memos-as.service"


def test_a_service_is_written_started_and_removed(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(user / "data"))
    port = os.environ["MEMOS_PORT"]
    assert main(["service", "install"]) == 0
    shown = capsys.readouterr()
    assert f"+++ {user / UNIT}" in shown.out
    assert f"It serves http://127.0.0.1:{port}/mcp" in shown.err
    text = (user / UNIT).read_text()
    assert f'Environment="MEMOS_HOME={user / "data"}"' in text
    assert f'"serve" "--host" "127.0.0.1" "--port" "{port}"' in text
    assert (user / UNIT).stat().st_mode & 0o777 == 0o600
    assert asked(user) == ["--user daemon-reload", "--user enable memos-as.service", "--user restart memos-as.service"]
    assert main(["service", "install"]) == 0
    assert "is there already" in capsys.readouterr().err
    asked(user)
    assert main(["service", "uninstall"]) == 0
    assert not (user / UNIT).exists()
    assert asked(user) == ["--user disable --now memos-as.service", "--user daemon-reload"]
    assert "The data stays in" in capsys.readouterr().err
    assert main(["service", "uninstall"]) == 0
    assert "There is no service" in capsys.readouterr().err


def test_secrets_are_not_written_but_named(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_DATABASE_URL", "postgresql://memos:hunter2@db/memos")
    nothing_set.setenv("MEMOS_CREDENTIAL_GITHUB", "hunter3")
    assert main(["service", "install", "--no-start"]) == 0
    shown = capsys.readouterr()
    assert "hunter" not in (user / UNIT).read_text() + shown.out + shown.err
    assert "MEMOS_CREDENTIAL_GITHUB, MEMOS_DATABASE_URL" in shown.err
    assert f"{user}/.config/memos-as/environment" in shown.err
    assert "Start it: systemctl --user daemon-reload && " in shown.err
    assert asked(user) == []


def test_a_dry_run_writes_and_starts_nothing(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", "install", "--dry-run"]) == 0
    assert "+ExecStart=" in capsys.readouterr().out
    assert not (user / UNIT).exists()
    assert asked(user) == []


def test_a_manager_that_fails_is_reported_with_its_reason(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (user / "broken").touch()
    assert main(["service", "install"]) == 1
    assert "is written, but not started: systemctl --user daemon-reload: No bus" in capsys.readouterr().err
    assert (user / UNIT).exists()


def test_a_port_that_another_program_uses_is_reported_and_the_service_not_started(
    user: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setattr(serving_at_login, "STOP_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        nothing_set.setenv("MEMOS_PORT", str(port))
        assert main(["service", "install"]) == 1
    assert f"is written, but not started: port {port} of 127.0.0.1 is in use. End the" in capsys.readouterr().err
    assert asked(user) == []
