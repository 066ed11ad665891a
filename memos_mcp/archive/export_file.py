"""The file of an export: a first line that says what it is, a line for each row, and a last one that says how many."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, Final, NamedTuple

from memos_mcp import __version__
from memos_mcp.domain.errors import Invalid

FORMAT: Final = "memos-as export"
FORMAT_VERSION: Final = 1
_BEGINNING: Final = re.compile(rb'\s*\{\s*"format"\s*:\s*"memos-as export"')
MAX_SEQUENCE: Final = 2**53
"""New rows are numbered after those of an export, which must not use up the numbers."""

END: Final = "end"
UNCHANGED: Final = "Nothing was changed."


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an export, by its number in the file. The text is what Postgres reads."""

    number: int
    type: str
    text: str
    fields: Mapping[str, Any]


class Members(NamedTuple):
    """The members of a line besides its type. later: those that lines of older versions lack."""

    required: frozenset[str]
    later: frozenset[str] = frozenset()


@dataclass(slots=True)
class ExportContents:
    """What an export holds. last: the highest `sequence` of the lines of each type."""

    namespaces: set[str] = field(default_factory=set)
    lines: Counter[str] = field(default_factory=Counter)
    last: Counter[str] = field(default_factory=Counter)


def first_line(namespaces: list[str], now: datetime) -> str:
    """Return the line by which an export is recognised."""
    fields = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "memos_version": __version__,
        "exported_at": now.isoformat(),
        "namespaces": namespaces,
    }
    return json.dumps(fields, ensure_ascii=False)


def last_line(lines: int) -> str:
    """Return the line without which a file is incomplete. lines: the number of those between the first and this one."""
    return json.dumps({"type": END, "lines": lines})


def is_export(beginning: bytes) -> bool:
    """Whether a file begins as an export does. beginning: some dozen of its bytes, or more."""
    return _BEGINNING.match(beginning) is not None


def check_export(file: BinaryIO, members: Mapping[str, Members]) -> ExportContents:
    """Read a whole export and return what it holds; raise `Invalid` with the first line that is wrong.

    members: those of a line of each type.
    """
    _check_first_line(file)
    contents, number, expected = ExportContents(), 1, None
    for line in read_lines(file):
        number = line.number
        if expected is not None:
            raise Invalid(f"line {number}: this follows the last line of the export. {UNCHANGED}")
        if line.type == END:
            expected = line.fields.get("lines")
            continue
        _check_line(line, members)
        contents.lines[line.type] += 1
        if "namespace" in line.fields:
            contents.namespaces.add(line.fields["namespace"])
        contents.last[line.type] = max(contents.last[line.type], _sequence(line))
    if expected is None:
        raise Invalid(f"The export stops after line {number}: it was cut off. Export it again. {UNCHANGED}")
    if expected != (found := contents.lines.total()):
        raise Invalid(
            f"The last line names {expected} lines, and there are {found}. Export it again, or correct the number if "
            f"you have removed lines on purpose. {UNCHANGED}"
        )
    return contents


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines after the first one."""
    for number, data in enumerate(file, start=1):
        if number == 1 or not data.strip():
            continue
        try:
            fields = json.loads(data.decode())
        except (ValueError, RecursionError):
            fields = None
        if not isinstance(fields, dict) or not isinstance(fields.get("type"), str):
            raise Invalid(f"line {number}: this is no line of an export. {UNCHANGED}")
        yield Line(number, fields["type"], data.decode(), fields)


def _check_first_line(file: BinaryIO) -> None:
    if not file.seekable():
        raise Invalid("An export is read twice, which a pipe cannot be. Save it to a file and import that.")
    file.seek(0)
    try:
        fields = json.loads(file.readline())
        found, author = fields["version"], fields["memos_version"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise Invalid(f"line 1: this is not the first line of an export. {UNCHANGED}") from None
    file.seek(0)
    if found != FORMAT_VERSION:
        raise Invalid(
            f"This export has format {found}, and this version of memos-as reads {FORMAT_VERSION}. It was written by "
            f"memos-as {author}: install that version or a newer one."
        )


def _check_line(line: Line, members: Mapping[str, Members]) -> None:
    expected = members.get(line.type)
    if expected is None:
        raise Invalid(f"line {line.number}: the type {line.type[:40]!a} is unknown. {UNCHANGED}")
    given = line.fields.keys() - {"type"}
    if different := sorted((expected.required - given) | (given - expected.required - expected.later)):
        problem = "lacks" if different[0] in expected.required else "has the unknown member"
        raise Invalid(f"line {line.number}: the {line.type} {problem} {different[0][:40]!a}. {UNCHANGED}")
    if not isinstance(line.fields.get("namespace", ""), str):
        raise Invalid(f"line {line.number}: the namespace is no string. {UNCHANGED}")
    stored = line.fields.get("stored")
    if isinstance(stored, dict) and any(stored.get(name) != line.fields.get(name) for name in ("id", "namespace")):
        raise Invalid(f"line {line.number}: what is stored has another id or namespace than the line. {UNCHANGED}")


def _sequence(line: Line) -> int:
    stored = line.fields.get("stored")
    found = stored.get("sequence") if isinstance(stored, dict) else line.fields.get("sequence", 0)
    if not isinstance(found, int) or not 0 <= found <= MAX_SEQUENCE:
        raise Invalid(f"line {line.number}: the sequence is not a number up to {MAX_SEQUENCE}. {UNCHANGED}")
    return found
