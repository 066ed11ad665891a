"""The file with which systemd or launchd runs `memos-as serve` from the login of a user on. Pure.

Sources: systemd.service(5), systemd.syntax(7) and launchd.plist(5).
"""

import plistlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Invalid

UNIT: Final = "memos-as.service"
LABEL: Final = "as.memos.server"
SECRETS_FILE: Final = Path("memos-as", "environment")
"""Below the folder for configurations: `NAME=value` lines, for what no service file should hold."""

_WITH_SECRETS: Final = 'set -a; [ ! -f "$0" ] || . "$0"; exec "$@"'
"""launchd reads no such file, so a shell does, which the server then replaces."""

_UNIT_TEXT: Final = """\
[Unit]
Description=memOS.as, a memory and a toolbox for agents

[Service]
ExecStart={command}
{settings}EnvironmentFile=-{secrets}
Restart=on-failure
RestartSec=5

[Install]
WantedBy=default.target
"""


@dataclass(frozen=True, slots=True)
class LoginService:
    """A service of a user's system manager.

    Args:
        path: its file.
        text: the text of the file.
        secrets: the file from which it reads further settings.
        start: the commands that start it now and at each login.
        stop: the commands that stop it for good.
        forget: the commands after its file was removed.

    """

    path: Path
    text: str
    secrets: Path
    start: Sequence[Sequence[str]]
    stop: Sequence[Sequence[str]]
    forget: Sequence[Sequence[str]] = ()


def login_service(system: System, user: int, command: Sequence[str], settings: Mapping[str, str]) -> LoginService:
    """Return the service of this system; raise `Invalid` when it has no such manager.

    user: the number of the user.  command: what the service runs.  settings: variables without secrets.
    """
    if system.platform == "darwin":
        return _agent(system, user, command, settings)
    if system.platform.startswith("linux"):
        return _unit(system, command, settings)
    raise Invalid("Services are installed on Linux (systemd) and macOS (launchd). Start memos-as serve by other means.")


def _unit(system: System, command: Sequence[str], settings: Mapping[str, str]) -> LoginService:
    secrets = system.folder("config") / SECRETS_FILE
    text = _UNIT_TEXT.format(
        command=" ".join(_quoted(word.replace("$", "$$")) for word in command),
        settings="".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in sorted(settings.items())),
        secrets=_escaped(str(secrets)),
    )
    manager = ("systemctl", "--user")
    reload = (*manager, "daemon-reload")
    return LoginService(
        system.folder("config") / "systemd" / "user" / UNIT,
        text,
        secrets,
        start=(reload, (*manager, "enable", UNIT), (*manager, "restart", UNIT)),
        stop=((*manager, "disable", "--now", UNIT),),
        forget=(reload,),
    )


def _agent(system: System, user: int, command: Sequence[str], settings: Mapping[str, str]) -> LoginService:
    path = system.home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
    secrets = system.folder("config") / SECRETS_FILE
    entries = {
        "Label": LABEL,
        "ProgramArguments": ["/bin/sh", "-c", _WITH_SECRETS, str(secrets), *command],
        "EnvironmentVariables": dict(settings),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": str(system.home / "Library" / "Logs" / "memos-as.log"),
    }
    domain = f"gui/{user}"
    stop = (("launchctl", "bootout", f"{domain}/{LABEL}"),)
    start = (("launchctl", "bootstrap", domain, str(path)),)
    return LoginService(path, plistlib.dumps(entries).decode(), secrets, start=start, stop=stop)


def _quoted(text: str) -> str:
    """Return a word of a unit file in quotes."""
    return '"' + _escaped(text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")) + '"'


def _escaped(text: str) -> str:
    """Return a text whose percent signs are not replaced."""
    return text.replace("%", "%%")
