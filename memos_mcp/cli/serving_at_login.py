"""The commands that install and remove the service which serves from the login of the user on."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from typing import Final

import anyio

from memos_mcp.cli.installing import apply, system_of
from memos_mcp.cli.output import notice
from memos_mcp.clients.changes import Change
from memos_mcp.clients.config_files import read_text
from memos_mcp.clients.launch_command import launch_command
from memos_mcp.clients.login_service import LoginService, login_service
from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.settings import Settings
from memos_mcp.transports.http_url import base_url, scheme_of

SECONDS: Final = 60
"""Until a system manager has started or stopped the server."""

STOP_SECONDS: Final = 3
"""Until a server that was stopped has closed its port: launchd does not wait for that."""


async def install_service(settings: Settings, *, start: bool, dry_run: bool) -> int:
    """Write the file of the service, after printing its change, and start it; return 0."""
    service = _service(settings)
    change = Change(service.path, read_text(service.path), service.text, shared=False)
    apply(change, dry_run=dry_run)
    if dry_run:
        return 0
    notice(f"{service.path} {'was written' if change.is_needed else 'is there already'}.")
    if left_out := sorted(set(_variables(settings)) - settings.open_variables().keys()):
        notice(f"Not written, as a secret may be: {', '.join(left_out)}. Put NAME=value into {service.secrets}.")
    if start:
        if change.before is not None:
            _run(service.stop, required=False)
        await _check_port(settings)
        _run(service.start, required=True)
        notice(
            f"It serves {base_url(scheme_of(settings), settings.host, settings.port)}/mcp, now and from each login on."
        )
    else:
        notice(f"Start it: {_shown(service.start)}")
    return 0


async def uninstall_service(settings: Settings, *, dry_run: bool) -> int:
    """Stop the service and remove its file; return 0, also when there is none."""
    service = _service(settings)
    before = read_text(service.path)
    if before is None:
        notice(f"There is no service: {service.path}")
        return 0
    change = Change(service.path, before, None, shared=False)
    if not dry_run:
        _run(service.stop, required=False)
    apply(change, dry_run=dry_run)
    if not dry_run:
        _run(service.forget, required=False)
        notice(f"The service is stopped, and {service.path} was deleted. The data stays in {settings.home}.")
    return 0


async def _check_port(settings: Settings) -> None:
    """Raise `Unavailable` when another program listens where the service would: its manager would only retry."""
    from memos_mcp.transports.http_address import listen

    problem: Invalid | None = None
    with anyio.move_on_after(STOP_SECONDS):
        while True:
            try:
                listen(settings.host, settings.port).close()
            except Invalid as error:
                problem = error
                await anyio.sleep(0.1)
            else:
                return
    raise Unavailable(
        f"The service is written, but not started: port {settings.port} of {settings.host} is in use. "
        "End the program that uses it, or set MEMOS_PORT to another one, and repeat the command."
    ) from problem


def _service(settings: Settings) -> LoginService:
    command = [*launch_command("user"), "serve", "--host", settings.host, "--port", str(settings.port)]
    return login_service(
        system_of(settings), os.getuid() if hasattr(os, "getuid") else 0, command, settings.open_variables()
    )


def _variables(settings: Settings) -> list[str]:
    return [name for name in settings.environment() if name.startswith("MEMOS_")]


def _run(commands: Sequence[Sequence[str]], *, required: bool) -> None:
    """Run the commands of a system manager; raise `Unavailable` at the first that fails, if they are required."""
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)  # noqa: S603  # constants and paths
        except (OSError, subprocess.TimeoutExpired):
            failure = "it cannot be run here"
        else:
            failure = done.stderr.strip() or f"exit code {done.returncode}" if done.returncode else ""
        if failure and required:
            raise Unavailable(f"The service is written, but not started: {shlex.join(command)}: {failure}")


def _shown(commands: Sequence[Sequence[str]]) -> str:
    return " && ".join(map(shlex.join, commands))
