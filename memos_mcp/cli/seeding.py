"""The command that registers the initial tools, or the tools and memories of a file."""

import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from memos_mcp.app import App, open_app
from memos_mcp.cli.importing import new_memory, new_tool, open_file
from memos_mcp.cli.maintenance import show_indexing
from memos_mcp.domain.errors import Invalid, MemosError, NotFound
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, check_endpoint
from memos_mcp.engine.admission import own_scope
from memos_mcp.mcp_server.tool_definition import unknown
from memos_mcp.settings import Settings

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
SHOWN_CHARS: Final = 60
OUTCOMES: Final = ("created", "updated", "unchanged")

_SECTIONS: Final[Mapping[str, Callable[[Mapping[str, Any]], NewTool | NewMemory]]] = {
    "tools": new_tool,
    "memories": new_memory,
}
_PLACEHOLDER: Final = re.compile(r"\$\{([^}]*)\}")


async def seed(settings: Settings, *, path: Path | None, wait: bool) -> int:
    """Store every valid entry of a file or of the initial tools, report the others; return 1 if there were others.

    Storing is idempotent: seeding again updates the changed entries and keeps the rest.
    """
    sections, counts = _read(path), Counter[str]()
    valid = dict(_checked(sections, _endpoints(settings), counts))
    async with open_app(settings) as app:
        for label, new in valid.items():
            try:
                outcome = await _store(app, own_scope(settings), new)
            except NotFound as error:
                _reject(label, error, counts)
            else:
                counts[outcome] += 1
                print(f"{label}: {outcome}")
        refused = [f"{counts['refused']:,} refused"] if "refused" in counts else []
        print(", ".join([f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES] + refused))
        if wait and valid:
            await show_indexing(app)
    return 1 if refused else 0


def _endpoints(settings: Settings) -> dict[str, str]:
    """Return the settings that an endpoint_url may contain as `${NAME}`."""
    return {"MEMOS_WEB_SEARCH_URL": settings.web_search_url, "MEMOS_TODO_URL": settings.todo_url.rstrip("/")}


def _checked(
    sections: Mapping[str, list[Any]], endpoints: Mapping[str, str], counts: Counter[str]
) -> Iterator[tuple[str, NewTool | NewMemory]]:
    """Yield valid entries with a label of their position in the file; report the others with label and reason."""
    tools: dict[str, str] = {}
    for section, entries in sections.items():
        for number, entry in enumerate(entries, start=1):
            label = f"{section} {number}{_summary(entry)}"
            try:
                new = _parse(section, entry, endpoints)
                _check_unique(label, new, tools)
            except Invalid as error:
                _reject(label, error, counts)
            else:
                yield label, new


def _check_unique(label: str, new: NewTool | NewMemory, tools: dict[str, str]) -> None:
    """Reject a second tool with the same id: each run would replace one by the other."""
    if isinstance(new, NewTool) and (first := tools.setdefault(new.tool_id, label)) != label:
        raise Invalid(f"{first} has the same tool_id.")


def _parse(section: str, entry: object, endpoints: Mapping[str, str]) -> NewTool | NewMemory:
    if not isinstance(entry, dict):
        raise Invalid("This is not a table of named values.")
    url = entry.get("endpoint_url")
    filled = {"endpoint_url": _fill_in(url, endpoints)} if isinstance(url, str) else {}
    return _SECTIONS[section](entry | filled)


def _fill_in(url: str, endpoints: Mapping[str, str]) -> str:
    """Replace the names of settings by their values."""

    def value(name: re.Match[str]) -> str:
        if name[1] not in endpoints:
            raise Invalid(" ".join(["endpoint_url:", *unknown("setting", [name[1]], endpoints)]))
        try:
            check_endpoint(endpoints[name[1]])
        except Invalid as error:
            raise Invalid(f"{name[1]}: {error}") from None
        return endpoints[name[1]]

    return _PLACEHOLDER.sub(value, url)


async def _store(app: App, scope: Scope, new: NewTool | NewMemory) -> str:
    """Store one entry without waiting for the index; return the outcome."""
    if isinstance(new, NewTool):
        return (await app.tools.record(scope, new)).outcome
    if new.supersedes is not None:
        created = (await app.memories.store(scope, new)).created
    else:
        (added,) = await app.memories.store_many(scope, [new])
        created = added.created
    return "created" if created else "unchanged"


def _reject(label: str, error: MemosError, counts: Counter[str]) -> None:
    counts["refused"] += 1
    print(f"{label}: {error}", file=sys.stderr)


def _summary(entry: object) -> str:
    """Return a few printable words that identify an entry, or an empty text."""
    if not isinstance(entry, dict):
        return ""
    words = entry.get("tool_id", entry.get("content"))
    if not isinstance(words, str) or not words.strip():
        return ""
    short = shorten(words, SHOWN_CHARS, placeholder=" …")
    return f" ({''.join(character if character.isprintable() else '?' for character in short[:SHOWN_CHARS])})"


def _read(path: Path | None) -> dict[str, list[Any]]:
    """Return the sections of a file as JSON values; raise `Invalid` with the position of an error."""
    if path is None:
        return _sections(
            "the initial tools", tomllib.loads((files("memos_mcp") / "seeds/initial.toml").read_text("utf-8"))
        )
    if path.suffix.lower() not in {".toml", ".json"}:
        raise Invalid(f"{path} is neither .toml nor .json: a seed file is one of these.")
    with open_file(path) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Invalid(f"{path} has more than {MAX_FILE_BYTES // 2**20} MiB. Use memos-as import for large files.")
    text = _decode(path, data)
    try:
        return _sections(path, _from_json(text) if path.suffix.lower() == ".json" else _from_toml(text))
    except RecursionError:
        raise Invalid(f"{path} is nested too deep.") from None
    except ValueError as error:
        raise Invalid(f"{path} cannot be read: {_reason(error, text)}.") from None


def _sections(name: object, content: object) -> dict[str, list[Any]]:
    if not isinstance(content, dict):
        raise Invalid(f"{name} is not an object with the lists tools and memories.")
    if unknown_sections := [section for section in content if section not in _SECTIONS]:
        raise Invalid(" ".join([f"{name}:", *unknown("section", unknown_sections, _SECTIONS)]))
    for section, entries in content.items():
        if not isinstance(entries, list):
            raise Invalid(f"{name}: {section} is not a list; in TOML each entry begins with [[{section}]].")
    return content


def _decode(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        raise Invalid(f"{path} is not UTF-8 ({_position(before)}).") from None


def _from_toml(text: str) -> object:
    """Return parsed TOML with dates and times as text, as the tools expect them."""
    return json.loads(json.dumps(tomllib.loads(text), default=lambda moment: moment.isoformat()))


def _from_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Reject an object with a repeated name: one of the values would be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {json.dumps(name[:SHOWN_CHARS])} occurs twice in one object")
        found[name] = value
    return found


def _reason(error: ValueError, text: str) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (at line {error.lineno}, column {error.colno})"
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error).replace("at end of document", f"{_position(text)}, the end")
    return str(error) if "twice" in str(error) else "it holds a number of too many digits"


def _position(before: str) -> str:
    """Return the position at which the text after this one begins."""
    lines = before.split("\n")
    return f"at line {len(lines)}, column {len(lines[-1]) + 1}"
