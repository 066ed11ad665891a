"""The files of systemd and launchd for a server that starts at login."""

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from memos_mcp.clients.login_service import login_service
from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Invalid

COMMAND = ["/opt/memos as/bin/memos-as", "serve", "--port", "8766"]


def system(platform: str, home: Path) -> System:
    return System(platform, home, home, {})


def test_a_unit_has_the_command_the_settings_and_a_file_for_secrets(tmp_path: Path) -> None:
    home = tmp_path / "home"
    service = login_service(system("linux", home), 1000, COMMAND, {"MEMOS_PORT": "8766", "MEMOS_HOME": "/data"})
    assert service.path == home / ".config/systemd/user/memos-as.service"
    assert service.text == (
        "[Unit]\n"
        "Description=memOS.as, a memory and a toolbox for agents\n"
        "\n"
        "[Service]\n"
        'ExecStart="/opt/memos as/bin/memos-as" "serve" "--port" "8766"\n'
        'Environment="MEMOS_HOME=/data"\n'
        'Environment="MEMOS_PORT=8766"\n'
        f"EnvironmentFile=-{home}/.config/memos-as/environment\n"
        "Restart=on-failure\n"
        "RestartSec=5\n"
        "\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )
    assert service.start[-1] == ("systemctl", "--user", "restart", "memos-as.service")


def test_signs_that_systemd_would_replace_are_escaped(tmp_path: Path) -> None:
    odd = ["/opt/100%/$memos/memos-as"]
    text = login_service(system("linux", tmp_path), 1, odd, {"MEMOS_NAMESPACE": 'a "b" \\ 5% $HOME'}).text
    assert 'ExecStart="/opt/100%%/$$memos/memos-as"\n' in text
    assert 'Environment="MEMOS_NAMESPACE=a \\"b\\" \\\\ 5%% $HOME"\n' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    service = login_service(system("linux", tmp_path), 1, ["/bin/true", "50%"], {"MEMOS_NAMESPACE": 'a "b" 5%'})
    unit = tmp_path / service.path.name
    unit.write_text(service.text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def test_an_agent_of_launchd_reads_the_file_for_secrets_and_becomes_the_command(tmp_path: Path) -> None:
    service = login_service(system("darwin", tmp_path), 501, COMMAND, {"MEMOS_HOME": "/data"})
    assert service.path == tmp_path / "Library/LaunchAgents/as.memos.server.plist"
    assert service.start == (("launchctl", "bootstrap", "gui/501", str(service.path)),)
    agent = plistlib.loads(service.text.encode())
    assert (agent["EnvironmentVariables"], agent["RunAtLoad"]) == ({"MEMOS_HOME": "/data"}, True)
    service.secrets.parent.mkdir(parents=True)
    service.secrets.write_text("MEMOS_AUTH_TOKEN='a b'\n")
    shell = agent["ProgramArguments"][: -len(COMMAND)]
    assert agent["ProgramArguments"][-len(COMMAND) :] == COMMAND
    shown = subprocess.run([*shell, "printenv", "MEMOS_AUTH_TOKEN"], capture_output=True, text=True, check=True)
    assert shown.stdout == "a b\n"
    service.secrets.unlink()
    assert subprocess.run([*shell, "true"], check=False).returncode == 0


def test_a_system_without_such_a_manager_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"on Linux .* and macOS"):
        login_service(system("win32", tmp_path), 0, COMMAND, {})
