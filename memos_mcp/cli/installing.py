"""The commands that connect and disconnect the MCP clients of this system, and list them."""

import sys
from pathlib import Path
from shutil import which
from typing import Any, Final

from memos_mcp.cli.output import notice, print_json, print_lines
from memos_mcp.cli.printable import lines
from memos_mcp.clients.changes import Change
from memos_mcp.clients.config_files import backup_of
from memos_mcp.clients.hook_entries import HookProgram
from memos_mcp.clients.installation import FoundClient, Installation, found_client, installation, removal
from memos_mcp.clients.known_clients import CLIENTS, KnownClient
from memos_mcp.clients.launch_command import COMMAND, launch_command
from memos_mcp.clients.server_entry import TOKEN_VARIABLE, LaunchedServer, RemoteServer, Server, reads_variable
from memos_mcp.clients.system import Scope, System
from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings

_SCOPES: Final[tuple[Scope, ...]] = ("user", "project")


async def install_client(
    settings: Settings,
    *,
    name: str,
    scope: Scope,
    namespace: str | None,
    url: str | None,
    sends_token: bool,
    hooks: bool,
    captures: bool,
    dry_run: bool,
) -> int:
    """Connect a client, after printing the changes of its files; return 0, also when it is connected already."""
    client = _client(name)
    server = _launched(settings, scope, namespace) if url is None else _remote(settings, scope, url, token=sends_token)
    program = _hook_program(settings, scope, captures=captures) if hooks else None
    changes = installation(client, scope, system_of(settings), server, program)
    if not changes.needed:
        notice(f"{client.title} is connected already: {changes.files[0].path}")
        return 0
    apply(changes, dry_run=dry_run)
    if not dry_run:
        for step in (*_next_steps(client, changes, server, scope), *_hook_steps(client, written=hooks)):
            notice(step)
    return 0


async def uninstall_client(settings: Settings, *, name: str, scope: Scope, dry_run: bool) -> int:
    """Disconnect a client, after printing the changes of its files; return 0, also when it is not connected."""
    client = _client(name)
    changes = removal(client, scope, system_of(settings))
    if not changes.needed:
        notice(f"{client.title} is not connected: {changes.files[0].path}")
        return 0
    apply(changes, dry_run=dry_run)
    for change in () if dry_run else changes.needed:
        done = "was deleted: it had nothing else" if change.after is None else "was changed"
        notice(f"{change.path} {done}.")
    return 0


async def list_clients(settings: Settings, *, as_json: bool) -> int:
    """Print the clients that were found, their files, and whether they are connected; return 0."""
    system = system_of(settings)
    found = [
        item for client in CLIENTS for scope in _SCOPES if (item := found_client(client, scope, system)) is not None
    ]
    rows = [_row(item) for item in found]
    if as_json:
        print_json({"clients": rows})
        return 0
    from memos_mcp.cli.client_table import print_clients

    print_clients(rows)
    for row in rows:
        if row["problem"]:
            notice(row["problem"])
    missing = [client.name for client in CLIENTS if all(item.client is not client for item in found)]
    if missing:
        notice(f"Not found: {', '.join(missing)}.")
    return 0


def _client(name: str) -> KnownClient:
    for client in CLIENTS:
        if client.name == name:
            return client
    raise Invalid(
        f"{name!a} is no client that is known here. There are {', '.join(client.name for client in CLIENTS)}."
    )


def system_of(settings: Settings) -> System:
    """Return the system of this process; raise `Invalid` when the user has no folder."""
    try:
        return System(sys.platform, Path.home(), Path.cwd(), settings.environment())
    except (OSError, RuntimeError):
        raise Invalid(
            "The home folder or the current folder cannot be found. Set HOME, or change the folder."
        ) from None


def _launched(settings: Settings, scope: Scope, namespace: str | None) -> LaunchedServer:
    command, *args = launch_command(scope)
    env = {} if namespace is None else {"MEMOS_NAMESPACE": namespace}
    if scope == "user" and "home" in settings.model_fields_set:
        env["MEMOS_HOME"] = str(settings.home)  # a client that a desktop starts has no variables of a shell
    return LaunchedServer(command, tuple(args), env)


def _hook_program(settings: Settings, scope: Scope, *, captures: bool) -> HookProgram:
    if sys.platform == "win32":
        raise Invalid("Hooks ask an engine, which Windows does not have. Leave out --hooks.")
    given = {"home": settings.home, "namespace": settings.namespace, "agent_id": settings.agent_id}
    chosen = {f"MEMOS_{name.upper()}": str(value) for name, value in given.items() if name in settings.model_fields_set}
    return HookProgram(tuple(launch_command(scope)), chosen if scope == "user" else {}, captures)


def _remote(settings: Settings, scope: Scope, url: str, *, token: bool) -> RemoteServer:
    if url:
        if not url.startswith(("http://", "https://")):
            raise Invalid(f"{url[:100]!a} is no URL such as http://127.0.0.1:8766/mcp.")
        return RemoteServer(url, token)
    from memos_mcp.transports.http_url import base_url, scheme_of  # other commands do not wait for these
    from memos_mcp.transports.loopback_token import FILE_NAME, makes_token

    file = settings.home / FILE_NAME if scope == "user" and makes_token(settings) else None
    address = base_url(scheme_of(settings), settings.host, settings.port)
    return RemoteServer(f"{address}/mcp", token and settings.auth == "token", file)


def apply(change: Change | Installation, *, dry_run: bool) -> None:
    """Print what changes, and write it unless it is a dry run."""
    print_lines(map(lines, change.diff()))
    if not dry_run:
        change.write()


def _next_steps(client: KnownClient, changes: Installation, server: Server, scope: Scope) -> list[str]:
    steps = [f"{change.path} was written.{_backup_note(change)}" for change in changes.needed]
    steps[-1] += f" {client.note}"
    if isinstance(server, LaunchedServer):
        if scope == "project" and which(server.command) is None:
            steps.append(
                f"The file is for other machines too, so it names {server.command} without a folder. Have it on PATH."
            )
    elif client.remote is not None and reads_variable(client.remote(server)):
        source = f"the text of {server.token_file}" if server.token_file else f"a token of {COMMAND} token create"
        steps.append(f"Set {TOKEN_VARIABLE} in {client.secrets} to {source}.")
    return steps


def _hook_steps(client: KnownClient, *, written: bool) -> list[str]:
    if client.hooks is None:
        return []
    note = client.hooks.note if written else "With --hooks, it also recalls memories without being asked."
    return [note] if note else []


def _backup_note(change: Change) -> str:
    return "" if change.backup is None else f" The text before is in {backup_of(change.path).name} beside it."


def _row(item: FoundClient) -> dict[str, Any]:
    return {
        "client": item.client.name,
        "scope": item.scope,
        "state": item.state,
        "hooks": item.hooks,
        "file": str(item.path),
        "problem": item.problem,
    }
