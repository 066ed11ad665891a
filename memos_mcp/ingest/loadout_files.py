"""Loadout files: a folder of TOML files, each of which describes an agent."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from anyio.to_thread import run_sync

from memos_mcp.domain.errors import Invalid, MemosError, NotFound
from memos_mcp.domain.loadout import Loadout, check_loadout_name

MAX_BYTES: Final = 64 * 1024
MAX_LISTED: Final = 50
SUFFIX: Final = ".toml"


class LoadoutFiles:
    """The `LoadoutStore` port on a folder. Files are read on each request, so a change takes effect at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def names(self, namespace: str) -> Sequence[str]:
        """Return the names of the first `MAX_LISTED` loadouts for this namespace, in order."""
        return await run_sync(self._names, namespace)

    async def get(self, name: str, namespace: str) -> Loadout:
        """Return the loadout of `NAME.toml`; raise `NotFound` also when it is for other namespaces."""
        check_loadout_name(name)
        return await run_sync(self._get, name, namespace)

    def _get(self, name: str, namespace: str) -> Loadout:
        path = self._folder / (name + SUFFIX)
        try:
            loadout = read_loadout(name, path) if path.is_file() else None
        except OSError as error:  # of a folder that may not be entered
            raise Invalid(f"{name}{SUFFIX} cannot be read: {error.strerror}.") from error
        if loadout is None or not loadout.admits(namespace):
            raise NotFound(f"No loadout '{name}' is for namespace '{namespace}'. {self._choices(namespace)}")
        return loadout

    def _choices(self, namespace: str) -> str:
        names = self._names(namespace)
        return (
            f"For it there are: {', '.join(names)}."
            if names
            else "For it there is none; a pack without a name needs none."
        )

    def _names(self, namespace: str) -> Sequence[str]:
        return sorted(islice(self._admitting(namespace), MAX_LISTED))

    def _admitting(self, namespace: str) -> Iterator[str]:
        for path in self._paths():
            try:
                check_loadout_name(path.stem)
                if path.is_file() and read_loadout(path.stem, path).admits(namespace):
                    yield path.stem
            except (MemosError, OSError):
                continue  # a request for this loadout gets the error

    def _paths(self) -> list[Path]:
        try:
            return list(self._folder.glob("*" + SUFFIX))
        except OSError:
            return []  # likewise


def read_loadout(name: str, path: Path) -> Loadout:
    """Return the loadout in a file; raise `Invalid` with the position and the error."""
    try:
        return _loadout(name, _parse(_text(path)))
    except Invalid as error:
        raise Invalid(f"{name}{SUFFIX}: {error}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Invalid(f"It cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise Invalid(f"It has more than {MAX_BYTES // 1024} KiB, which is the limit for a loadout.")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Invalid(f"It is not UTF-8 (line {line}). Save it as UTF-8.") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        lines = text.split("\n")
        end = f"(at line {len(lines)}, column {len(lines[-1]) + 1}, the end)"
        raise Invalid(f"It is not TOML: {str(error).replace('(at end of document)', end)}.") from None
    except (ValueError, RecursionError):
        raise Invalid(
            "It is not TOML that a loadout could be: a number of many digits, or nested too deeply."
        ) from None


def _loadout(name: str, table: Mapping[str, Any]) -> Loadout:
    top = _read("", table, _TOP)
    memories = _read("memories.", top.pop("memories", {}), _MEMORIES)
    tools = _read("tools.", top.pop("tools", {}), _TOOLS)
    fields = {_FIELDS.get(key, key): value for key, value in (top | memories | tools).items()}
    loadout = Loadout(name, **fields)
    loadout.check()
    return loadout


def _read(prefix: str, table: Mapping[str, Any], readers: Mapping[str, Callable[[str, Any], Any]]) -> dict[str, Any]:
    """Return each value as parsed by its reader, by its full key; raise `Invalid` for an unknown key."""
    for key in table:
        if key not in readers:
            near = get_close_matches(key[:40].lower(), readers, n=1)
            guess = f" Did you mean '{prefix}{near[0]}'?" if near else ""
            known = ", ".join(prefix + name for name in readers)
            raise Invalid(f"Unknown key {prefix + key[:40]!a}.{guess} Keys: {known}.")
    return {prefix + key: readers[key](prefix + key, value) for key, value in table.items()}


def _string(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{key} must be a string; got {_kind(value)}.")
    return value


def _strings(key: str, value: Any) -> Sequence[str]:
    if not isinstance(value, list):
        raise Invalid(f"{key} must be a list of strings; got {_kind(value)}.")
    return tuple(_string(f"entry {number} of {key}", entry) for number, entry in enumerate(value, start=1))


def _ids(key: str, value: Any) -> Sequence[UUID]:
    return tuple(_id(f"entry {number} of {key}", entry) for number, entry in enumerate(_strings(key, value), start=1))


def _id(key: str, text: str) -> UUID:
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise Invalid(f"{key} must be a memory_id, as a store or a query returned it; got {text[:40]!a}.")
    return UUID(text)


def _integer(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid(f"{key} must be a whole number; got {_kind(value)}.")
    return value


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be a table, [{key}]; got {_kind(value)}.")
    return value


def _kind(value: Any) -> str:
    kinds = {
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a date or time")


_TOP: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "role": _string,
    "capabilities": _strings,
    "namespaces": _strings,
    "for": _strings,
    "memories": _table,
    "tools": _table,
}
_MEMORIES: Final[Mapping[str, Callable[[str, Any], Any]]] = {"pinned": _ids, "search": _strings, "tokens": _integer}
_TOOLS: Final[Mapping[str, Callable[[str, Any], Any]]] = {"pinned": _strings, "tokens": _integer}
_FIELDS: Final[Mapping[str, str]] = {
    "for": "admitted",
    "memories.pinned": "pinned_memories",
    "memories.search": "searches",
    "memories.tokens": "memory_tokens",
    "tools.pinned": "pinned_tools",
    "tools.tokens": "tool_tokens",
}
