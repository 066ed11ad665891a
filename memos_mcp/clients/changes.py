"""What to change in a client's file: its text before and after, and what it has now."""

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Any, Final, Literal, TypeAlias

from memos_mcp.clients.config_files import backup_of, read_text, replace_text
from memos_mcp.clients.config_text import BrokenText, Keys, UnsupportedText, data_without_entry, entry_at
from memos_mcp.clients.known_clients import ConfigFile, KnownClient, Scope
from memos_mcp.clients.server_entry import SERVER_NAME, Entry, LaunchedServer, Server
from memos_mcp.clients.system import System
from memos_mcp.domain.errors import Invalid

State: TypeAlias = Literal["connected", "not connected", "program missing", "broken"]

_OWN_FIELDS: Final = frozenset(
    {"type", "name", "enabled", "command", "cmd", "args", "env", "envs", "environment", "url", "httpUrl", "serverUrl"}
    | {"uri", "headers", "headersHelper", "bearer_token_env_var", "requestOptions", "oauth", "env_keys"}
)
"""What an installation decides; the other fields of an entry, such as timeouts and allowed tools, stay as they were."""

_VARIABLES: Final = ("env", "envs", "environment")
_BOM: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a file. `before` is None where there is no file, `after` where none remains.

    Args:
        path: the file.
        before: its text now.
        after: its text then.
        shared: whether the file belongs to a project, so that others may read it.
        backup: the text that the backup gets; None leaves it unchanged.
        drops_backup: whether the backup is no longer needed.

    """

    path: Path
    before: str | None
    after: str | None
    shared: bool
    backup: str | None = None
    drops_backup: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be written."""
        return self.before != self.after

    def diff(self) -> Iterator[str]:
        """Yield the lines of a unified diff, without line ends."""
        before, after = (text.splitlines() if text else [] for text in (self.before, self.after))
        former, new = ("/dev/null" if text is None else str(self.path) for text in (self.before, self.after))
        yield from difflib.unified_diff(before, after, former, new, lineterm="")

    def write(self) -> None:
        """Write the backup, then the file; raise `Conflict` or `Invalid` when the file was not changed."""
        backup = backup_of(self.path)
        if self.backup is not None:
            replace_text(backup, read_text(backup), self.backup, shared=False)
        replace_text(self.path, self.before, self.after, shared=self.shared)
        if self.drops_backup:
            backup.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class FoundClient:
    """What the file of a client has now; `problem` says why one is broken."""

    client: KnownClient
    scope: Scope
    path: Path
    state: State
    problem: str | None = None


def installation(client: KnownClient, scope: Scope, system: System, server: Server) -> Change:
    """Return the change that connects a client; raise `Invalid` when its file is broken or has no such entries."""
    configuration = _configuration(client, scope, system)
    former = configuration.entry(configuration.base)
    entry = _merged(former, _new_entry(client, server), launched=isinstance(server, LaunchedServer))
    if entry == former:
        return Change(configuration.path, configuration.text, configuration.text, configuration.shared)
    after = configuration.with_entry(configuration.base, entry)
    is_first = former is None or not backup_of(configuration.path).exists()
    return Change(
        configuration.path, configuration.text, after, configuration.shared, configuration.text if is_first else None
    )


def removal(client: KnownClient, scope: Scope, system: System) -> Change:
    """Return the change that disconnects a client; raise `Invalid` when its file is broken.

    A file that only the installation changed gets the text back that it had before; one that it made is deleted.
    """
    configuration = _configuration(client, scope, system)
    text = configuration.text
    entry = None if text is None else configuration.entry(configuration.base)
    if text is None or entry is None:
        return Change(configuration.path, text, text, configuration.shared)
    former = configuration.former_text()
    if former is not None and configuration.is_installed(former, entry):
        return Change(configuration.path, text, former, configuration.shared, drops_backup=True)
    after = configuration.without_entry(text)
    if former is None and after == configuration.file.empty:
        return Change(configuration.path, text, None, configuration.shared, drops_backup=True)
    return Change(configuration.path, text, after, configuration.shared, backup=text)


def found_client(client: KnownClient, scope: Scope, system: System) -> FoundClient | None:
    """Return what a client's file has, or None where the client, or the file of a project, does not exist."""
    path = client.path(scope, system)
    if path is None or not (client.is_found(system) if scope == "user" else path.exists()):
        return None
    try:
        configuration = _configuration(client, scope, system)
        entry = configuration.entry(configuration.base)
    except Invalid as error:
        return FoundClient(client, scope, path, "broken", str(error))
    if entry is None:
        return FoundClient(client, scope, path, "not connected")
    command = entry.get("command", entry.get("cmd"))
    program = command[0] if isinstance(command, list) and command else command
    missing = isinstance(program, str) and which(program) is None
    return FoundClient(client, scope, path, "program missing" if missing else "connected")


@dataclass(frozen=True, slots=True)
class _Configuration:
    """A client's file as it was read."""

    client: KnownClient
    file: ConfigFile
    path: Path
    shared: bool
    text: str | None

    @property
    def base(self) -> str:
        """The text to edit."""
        return self._with_content(self.text)

    def entry(self, text: str) -> Entry | None:
        return entry_at(self._data(text), self._keys(text))

    def former_text(self) -> str | None:
        """Return the text that the backup has from before the entry, if there is one."""
        text = read_text(backup_of(self.path))
        try:
            return text if text is not None and self.entry(self._with_content(text)) is None else None
        except Invalid:
            return None

    def is_installed(self, former: str, entry: Entry) -> bool:
        """Return whether the text is a former one with this entry, and nothing else was changed."""
        try:
            return self.with_entry(self._with_content(former), entry) == self.text
        except Invalid:
            return False

    def with_entry(self, text: str, entry: Entry) -> str:
        keys = self._keys(text)
        changed = self._edited(text, keys, lambda: self.client.editor.with_entry(text, keys, entry))
        if entry_at(self._data(changed), keys) != entry:
            raise self._unsupported("it has an unusual form")
        return changed

    def without_entry(self, text: str) -> str:
        keys = self._keys(text)
        return self._edited(text, keys, lambda: self.client.editor.without_entry(text, keys))

    def _with_content(self, text: str | None) -> str:
        """Return a text, or for one without content what a new file has."""
        return text if text is not None and text.strip(f"{_BOM} \t\r\n") else self.file.empty

    def _edited(self, text: str, keys: Keys, edit: Callable[[], str]) -> str:
        """Return an edited text, which has been read again: all but the entry must be what it was."""
        try:
            changed = edit()
            rest = data_without_entry(self.client.editor.read(changed), keys)
        except (BrokenText, UnsupportedText) as error:
            raise self._unsupported(str(error)) from None
        if rest != data_without_entry(self._data(text), keys):
            raise self._unsupported("it has an unusual form")
        return changed

    def _data(self, text: str) -> dict[str, Any]:
        try:
            return self.client.editor.read(text)
        except BrokenText as error:
            at = ":".join(str(number) for number in (self.path, error.line, error.column) if number)
            raise Invalid(f"{at}: {error}. Correct this file first; nothing was changed.") from None

    def _keys(self, text: str) -> Keys:
        data = self._data(text)
        found = (keys for keys in self.client.lists if entry_at(data, keys) is not None)
        return (*next(found, self.client.lists[-1]), SERVER_NAME)

    def _unsupported(self, problem: str) -> Invalid:
        return Invalid(f"{self.path} was not changed, because {problem}. Change the entry {SERVER_NAME} by hand.")


def _configuration(client: KnownClient, scope: Scope, system: System) -> _Configuration:
    file, path = client.file(scope), client.path(scope, system)
    if file is None or path is None:
        raise Invalid(f"{client.title} has no configuration of a project. Leave out --scope project.")
    return _Configuration(client, file, path, scope == "project", read_text(path))


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
