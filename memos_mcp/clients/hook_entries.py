"""The hooks of a client's file that run this program: which events they are for, and what they say. Pure."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from memos_mcp.clients.jsonc_text import JsoncText, Key
from memos_mcp.clients.system import ConfigFile, Scope

_LIST: Final = "hooks"
_COMMAND: Final = "command"

Commands: TypeAlias = dict[str, Any]
"""The command of each event."""


@dataclass(frozen=True, slots=True)
class HookProgram:
    """The program that the hooks run.

    Args:
        command: its path or name, and its first arguments.
        variables: what it gets in its environment.
        captures: whether it keeps the messages.

    """

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    captures: bool = False


@dataclass(frozen=True, slots=True)
class ClientHooks:
    """The hooks of a client.

    Args:
        source: where its documentation describes them.
        user: the file that has them for all projects of a user, and `project` the one of a single project.
        recall: the events that recall needs.
        messages: the events that have a message to keep.
        grouped: whether the list of an event has groups of hooks, which a shell runs; else it has the hooks themselves.
        note: what else the client needs before it runs them.

    """

    source: str
    user: ConfigFile
    project: ConfigFile
    recall: tuple[str, ...]
    messages: tuple[str, ...]
    grouped: bool = True
    note: str = ""

    def file(self, scope: Scope) -> ConfigFile:
        """Return the file of a scope."""
        return self.user if scope == "user" else self.project

    @property
    def events(self) -> tuple[str, ...]:
        """All events, each once."""
        return tuple(dict.fromkeys(self.recall + self.messages))

    def commands(self, program: HookProgram) -> Commands:
        """Return the command of each event that a program is for."""
        events = self.events if program.captures else self.recall
        return {event: self._command(program, event) for event in events}

    def _command(self, program: HookProgram, event: str) -> str:
        variables = [f"{name}={value}" for name, value in program.variables.items()]
        options = ["--capture"] if program.captures and event in self.messages else []
        command = shlex.join([*(["env", *variables] if variables else []), *program.command, "hook", event, *options])
        if not self.grouped:
            return command
        # A program that was removed must not show an error at each prompt.
        return f"command -v {shlex.quote(program.command[0])} >/dev/null 2>&1 || exit 0; {command}"

    def entry(self, command: str) -> dict[str, Any]:
        """Return a new entry of an event's list."""
        return {_LIST: [{"type": "command", _COMMAND: command}]} if self.grouped else {_COMMAND: command}


@dataclass(frozen=True, slots=True)
class HooksPart:
    """What a file has of these hooks. Other hooks, and what a user has added to these, are not touched."""

    hooks: ClientHooks
    editor: JsoncText = field(default_factory=JsoncText)
    name: str = "the hooks of memos-as"

    def found(self, text: str) -> Commands | None:
        """Return the command of each event that has one; None without any. Raises `BrokenText`."""
        data = self.editor.read(text)
        return {event: own.hook[_COMMAND] for event in self.hooks.events for own in self._own(data, event)} or None

    def rest(self, text: str) -> Any:
        """Return the value of a text without these hooks, and without what is empty around them."""
        data = self.editor.read(text)
        events = data.get(_LIST)
        if not isinstance(events, dict):
            return data
        others = {event: self._others(event, entries) for event, entries in events.items()}
        kept = {event: entries for event, entries in others.items() if entries != []}
        return {name: kept if name == _LIST else value for name, value in data.items() if name != _LIST or kept}

    def put(self, text: str, commands: Commands) -> str:
        """Return the text with these commands. May raise `UnsupportedText`."""
        for event in self.hooks.events:
            if event in commands:
                text = self._with_command(text, event, commands[event])
            else:
                text = self._without_event(text, event)
        return text

    def taken_out(self, text: str) -> str:
        """Return the text without these hooks. May raise `UnsupportedText`."""
        return self.put(text, {})

    def _with_command(self, text: str, event: str, command: str) -> str:
        data = self.editor.read(text)
        for own in self._own(data, event):
            is_same = own.hook[_COMMAND] == command
            return text if is_same else self.editor.with_entry(text, (*own.keys, _COMMAND), command)
        return self.editor.with_entry(text, (_LIST, event, len(_entries(data, event))), self.hooks.entry(command))

    def _without_event(self, text: str, event: str) -> str:
        while own := next(self._own(self.editor.read(text), event), None):
            text = self.editor.without_entry(text, own.keys[:3] if own.is_alone else own.keys)
        return text

    def _own(self, data: dict[str, Any], event: str) -> Iterator["_OwnHook"]:
        for at, entry in enumerate(_entries(data, event)):
            keys = (_LIST, event, at)
            hooks = _hooks_of(entry) if self.hooks.grouped else [entry]
            for inner, hook in enumerate(hooks):
                if _runs_this(hook, event):
                    yield _OwnHook((*keys, _LIST, inner) if self.hooks.grouped else keys, hook, len(hooks) == 1)

    def _others(self, event: str, entries: Any) -> Any:
        """Return the entries of an event without these hooks."""
        if event not in self.hooks.events or not isinstance(entries, list):
            return entries
        if not self.hooks.grouped:
            return [entry for entry in entries if not _runs_this(entry, event)]
        others = [[hook for hook in _hooks_of(entry) if not _runs_this(hook, event)] for entry in entries]
        return [
            {**entry, _LIST: rest} if len(rest) < len(_hooks_of(entry)) else entry
            for entry, rest in zip(entries, others, strict=True)
            if rest or not _hooks_of(entry)
        ]


class _OwnHook(NamedTuple):
    """Where a hook of this program is, and whether its group has no other one."""

    keys: tuple[Key, ...]
    hook: dict[str, Any]
    is_alone: bool


def _entries(data: dict[str, Any], event: str) -> list[Any]:
    events = data.get(_LIST)
    entries = events.get(event) if isinstance(events, dict) else None
    return entries if isinstance(entries, list) else []


def _hooks_of(group: Any) -> list[Any]:
    hooks = group.get(_LIST) if isinstance(group, dict) else None
    return hooks if isinstance(hooks, list) else []


def _runs_this(hook: Any, event: str) -> bool:
    command = hook.get(_COMMAND) if isinstance(hook, dict) else None
    return isinstance(command, str) and re.search(rf"memos[-_](?:as|mcp)\S* hook {event}(?!\w)", command) is not None
