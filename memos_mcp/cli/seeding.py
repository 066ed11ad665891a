"""The command that registers the initial tools, or takes in a file of tools and memories."""

import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import Any, Final

from memos_mcp.app import App, open_app
from memos_mcp.cli.importing import ImportCounts, new_memory, new_tool, opened
from memos_mcp.cli.maintenance import indexed
from memos_mcp.cli.serving import scope_of
from memos_mcp.domain.errors import Invalid, MemosError, NotFound
from memos_mcp.domain.memory import NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import NewTool, check_endpoint
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
    """Store every good entry of a file, or of the initial tools, and name every bad one; return 1 when there was one.

    Storing is idempotent: seeding again brings up to date what has changed, and leaves the rest as it is.
    """
    sections, tally = _read(path), ImportCounts()
    good = dict(_checked(sections, _endpoints(settings), tally))
    async with open_app(settings) as app:
        for place, new in good.items():
            try:
                outcome = await _store(app, scope_of(settings), new)
            except NotFound as error:
                _refuse(place, error, tally)
            else:
                tally.count(outcome)
                print(f"{place}: {outcome}")
        refused = [f"{tally.outcomes['refused']:,} refused"] if "refused" in tally.outcomes else []
        print(", ".join([f"{tally.outcomes.get(outcome, 0):,} {outcome}" for outcome in OUTCOMES] + refused))
        if wait and good:
            await indexed(app)
    return 1 if refused else 0


def _endpoints(settings: Settings) -> dict[str, str]:
    """Return what may stand in an endpoint_url as `${NAME}`."""
    return {"MEMOS_WEB_SEARCH_URL": settings.web_search_url, "MEMOS_TODO_URL": settings.todo_url.rstrip("/")}


def _checked(
    sections: Mapping[str, list[Any]], endpoints: Mapping[str, str], tally: ImportCounts
) -> Iterator[tuple[str, NewTool | NewMemory]]:
    """Yield what can be stored, by its place in the file; name the place and the reason of what cannot."""
    tools: dict[str, str] = {}
    for section, entries in sections.items():
        for number, given in enumerate(entries, start=1):
            place = f"{section} {number}{_called(given)}"
            try:
                new = _taken(section, given, endpoints)
                _check_first(place, new, tools)
            except Invalid as error:
                _refuse(place, error, tally)
            else:
                yield place, new


def _check_first(place: str, new: NewTool | NewMemory, tools: dict[str, str]) -> None:
    """Refuse a second tool of the same id: each run would turn one into the other."""
    if isinstance(new, NewTool) and (first := tools.setdefault(new.tool_id, place)) != place:
        raise Invalid(f"The tool_id is that of {first}.")


def _taken(section: str, given: object, endpoints: Mapping[str, str]) -> NewTool | NewMemory:
    if not isinstance(given, dict):
        raise Invalid("This is not a table of named values.")
    url = given.get("endpoint_url")
    filled = {"endpoint_url": _filled(url, endpoints)} if isinstance(url, str) else {}
    return _SECTIONS[section](given | filled)


def _filled(url: str, endpoints: Mapping[str, str]) -> str:
    """Put the settings in the place of their names."""

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
    """Store one entry without waiting for the index; return what became of it."""
    if isinstance(new, NewTool):
        return (await app.tools.record(scope, new)).outcome
    if new.supersedes is not None:
        created = (await app.memories.store(scope, new)).created
    else:
        (added,) = await app.memories.store_many(scope, [new])
        created = added.created
    return "created" if created else "unchanged"


def _refuse(place: str, error: MemosError, tally: ImportCounts) -> None:
    tally.count("refused")
    print(f"{place}: {error}", file=sys.stderr)


def _called(given: object) -> str:
    """Return a few visible words by which an entry is recognized, if it has any."""
    if not isinstance(given, dict):
        return ""
    words = given.get("tool_id", given.get("content"))
    if not isinstance(words, str) or not words.strip():
        return ""
    short = shorten(words, SHOWN_CHARS, placeholder=" …")
    return f" ({''.join(character if character.isprintable() else '?' for character in short[:SHOWN_CHARS])})"


def _read(path: Path | None) -> dict[str, list[Any]]:
    """Return the sections of a file as JSON values; raise `Invalid` with the place of what cannot be read."""
    if path is None:
        return _sections(
            "the initial tools", tomllib.loads((files("memos_mcp") / "seeds/initial.toml").read_text("utf-8"))
        )
    if path.suffix.lower() not in {".toml", ".json"}:
        raise Invalid(f"{path} is neither .toml nor .json: a seed file is one of these.")
    with opened(path) as file:
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise Invalid(f"{path} has more than {MAX_FILE_BYTES // 2**20} MiB. For so much there is memos-as import.")
    text = _decoded(path, data)
    try:
        return _sections(path, _from_json(text) if path.suffix.lower() == ".json" else _from_toml(text))
    except RecursionError:
        raise Invalid(f"{path} is nested too deep.") from None
    except ValueError as error:
        raise Invalid(f"{path} cannot be read: {_reason(error, text)}.") from None


def _sections(name: object, document: object) -> dict[str, list[Any]]:
    if not isinstance(document, dict):
        raise Invalid(f"{name} is not an object with the lists tools and memories.")
    if strangers := [section for section in document if section not in _SECTIONS]:
        raise Invalid(" ".join([f"{name}:", *unknown("section", strangers, _SECTIONS)]))
    for section, entries in document.items():
        if not isinstance(entries, list):
            raise Invalid(f"{name}: {section} is not a list; in TOML each entry begins with [[{section}]].")
    return document


def _decoded(path: Path, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        raise Invalid(f"{path} is not UTF-8 ({_place(before)}).") from None


def _from_toml(text: str) -> object:
    """Return a TOML document with its dates and times as text, as the tools take them."""
    return json.loads(json.dumps(tomllib.loads(text), default=lambda moment: moment.isoformat()))


def _from_json(text: str) -> object:
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says something twice: one of the two would be lost."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {json.dumps(name[:SHOWN_CHARS])} stands twice in one object")
        found[name] = value
    return found


def _reason(error: ValueError, text: str) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (at line {error.lineno}, column {error.colno})"
    if isinstance(error, tomllib.TOMLDecodeError):
        return str(error).replace("at end of document", f"{_place(text)}, the end")
    return str(error) if "twice" in str(error) else "it holds a number of too many digits"


def _place(before: str) -> str:
    """Return where the text after this one begins."""
    lines = before.split("\n")
    return f"at line {len(lines)}, column {len(lines[-1]) + 1}"
