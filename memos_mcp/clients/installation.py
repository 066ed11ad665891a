"""What connects a client and disconnects it, and whether it is connected."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import which
from typing import Final, Literal, TypeAlias

from memos_mcp.clients.changes import Change
from memos_mcp.clients.client_files import ClientFile
from memos_mcp.clients.config_files import read_text
from memos_mcp.clients.file_parts import FilePart, ServerPart
from memos_mcp.clients.hook_entries import HookProgram, HooksPart
from memos_mcp.clients.known_clients import KnownClient
from memos_mcp.clients.server_entry import Entry, LaunchedServer, Server
from memos_mcp.clients.system import Scope, System
from memos_mcp.domain.errors import Invalid

State: TypeAlias = Literal["connected", "not connected", "program missing", "broken"]

_OWN_FIELDS: Final = frozenset(
    {"type", "name", "enabled", "command", "cmd", "args", "env", "envs", "environment", "url", "httpUrl", "serverUrl"}
    | {"uri", "headers", "headersHelper", "bearer_token_env_var", "requestOptions", "oauth", "env_keys"}
)
"""What an installation decides; the other fields of an entry, such as timeouts and allowed tools, stay as they were."""

_VARIABLES: Final = ("env", "envs", "environment")
_SCOPE: Final = ("MEMOS_HOME", "MEMOS_NAMESPACE", "MEMOS_AGENT_ID")
"""The variables of a server that its client's hooks need, to ask the same memory. None of them is a secret."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The changes of a client's files, the one of its server first."""

    files: tuple[Change, ...]

    @property
    def needed(self) -> tuple[Change, ...]:
        """The changes of files that are to be written."""
        return tuple(change for change in self.files if change.is_needed)

    def diff(self) -> Iterator[str]:
        """Yield the lines of the unified diffs, without line ends."""
        for change in self.needed:
            yield from change.diff()

    def write(self) -> None:
        """Write the files; raise `Conflict` or `Invalid` when one was not changed, and then none after it."""
        for change in self.needed:
            change.write()


@dataclass(frozen=True, slots=True)
class FoundClient:
    """What the file of a client has now; `problem` says why one is broken, `hooks` whether it has hooks of ours."""

    client: KnownClient
    scope: Scope
    path: Path
    state: State
    problem: str | None = None
    hooks: bool = False


def installation(
    client: KnownClient, scope: Scope, system: System, server: Server, hooks: HookProgram | None = None
) -> Installation:
    """Return the changes that connect a client; raise `Invalid` when a file is broken or has no such entries.

    Hooks get the scope of the server's entry too. Without `hooks`, those that the client has are unchanged.
    """
    file = _server_file(client, scope, system)
    former = file.found()[0]
    entry = _merged(former, _new_entry(client, server), launched=isinstance(server, LaunchedServer))
    if hooks is None:
        return Installation((file.with_parts([entry, None][: len(file.parts)]),))
    if client.hooks is None:
        raise Invalid(f"{client.title} has no hooks for this. Leave out --hooks.")
    scoped = {name: value for name, value in entry.get("env", {}).items() if name in _SCOPE}
    commands = client.hooks.commands(replace(hooks, variables={**hooks.variables, **scoped}))
    hooks_file = _hooks_file(client, scope, system)
    if hooks_file is None:
        return Installation((file.with_parts([entry, commands]),))
    return Installation((file.with_parts([entry]), hooks_file.with_parts([commands])))


def removal(client: KnownClient, scope: Scope, system: System) -> Installation:
    """Return the changes that disconnect a client and remove its hooks; raise `Invalid` when a file is broken."""
    files = (_server_file(client, scope, system), _hooks_file(client, scope, system))
    return Installation(tuple(file.without_parts() for file in files if file is not None))


def found_client(client: KnownClient, scope: Scope, system: System) -> FoundClient | None:
    """Return what a client's file has, or None where the client, or the file of a project, does not exist."""
    path = client.path(scope, system)
    if path is None or not (client.is_found(system) if scope == "user" else path.exists()):
        return None
    try:
        entry, *hooks = _server_file(client, scope, system).found()
    except Invalid as error:
        return FoundClient(client, scope, path, "broken", str(error))
    with suppress(Invalid):  # a file that has hooks only does not keep the client from connecting
        if (file := _hooks_file(client, scope, system)) is not None:
            hooks.extend(file.found())
    return FoundClient(client, scope, path, _state_of(entry), hooks=any(hooks))


def _state_of(entry: Entry | None) -> State:
    if entry is None:
        return "not connected"
    command = entry.get("command", entry.get("cmd"))
    program = command[0] if isinstance(command, list) and command else command
    return "program missing" if isinstance(program, str) and which(program) is None else "connected"


def _server_file(client: KnownClient, scope: Scope, system: System) -> ClientFile:
    """Return the file of the client's servers, which may have its hooks too."""
    file, path = client.file(scope), client.path(scope, system)
    if file is None or path is None:
        raise Invalid(f"{client.title} has no configuration of a project. Leave out --scope project.")
    parts: tuple[FilePart, ...] = (ServerPart(client.editor, client.lists),)
    if client.hooks is not None and client.hooks.file(scope) == file:
        parts = (*parts, HooksPart(client.hooks))
    return ClientFile(path, read_text(path), file.empty, scope == "project", parts)


def _hooks_file(client: KnownClient, scope: Scope, system: System) -> ClientFile | None:
    """Return the file that has the client's hooks only, if it has one."""
    if client.hooks is None or client.hooks.file(scope) == client.file(scope):
        return None
    file = client.hooks.file(scope)
    path = file.path(system)
    return ClientFile(path, read_text(path), file.empty, scope == "project", (HooksPart(client.hooks),))


def _new_entry(client: KnownClient, server: Server) -> Entry:
    if isinstance(server, LaunchedServer):
        return client.launch(server)
    if client.remote is None:
        raise Invalid(f"The file of {client.title} has no servers over HTTP. Leave out --http.")
    return client.remote(server)


def _merged(former: Entry | None, new: Entry, *, launched: bool) -> Entry:
    """Return the new entry with what else the former one has: other fields, and other variables of the program."""
    if former is None:
        return new
    kept = {name: value for name, value in former.items() if name not in _OWN_FIELDS}
    for name in _VARIABLES:
        if launched and isinstance(variables := former.get(name), dict):
            kept[name] = {**variables, **new.get(name, {})}
    return {**new, **kept}
