"""The shape of YAML that is one long list of records, or of fixtures by name, judged by its lines."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from memos_mcp.ingest.data.data_shape import DataShape, Records
from memos_mcp.ingest.data.json_data import CONFIGURATION_KEYS

_MIN_RECORDS: Final = 20
_MIN_VALUES: Final = 100
_MIN_COMMON_KEYS: Final = 2
_MIN_SHARE: Final = 0.6

_ITEM: Final = re.compile(r"( {0,8})-(?: +(.*))?$")
_KEY: Final = re.compile(r"""["']?([^\s"'#:][^"'#:]{0,80})["']?:(?:\s+(.*))?$""")
_NAME: Final = re.compile(r"""["']?[\w.@/ -]{1,80}["']?:\s*(?:&\S+\s*)?(?:#.*)?$""")
_PROSE: Final = re.compile(r"\s*(?:#.*|---.*|\.\.\.)?$")


@dataclass(slots=True)
class _YamlRecord:
    """One item of the list: its lines, without the indentation of its keys."""

    lines: list[str] = field(default_factory=list)


def yaml_shape(text: str) -> DataShape | None:
    """Return the shape of records, or None for settings. Nothing is parsed: anchors and blocks of text stay lines."""
    lines = text.split("\n")
    if any(_is_configuration(line) for line in lines):
        return None
    written = sum(len(line.strip()) for line in lines if not _PROSE.match(line))
    for entries in (list(_items(lines)), list(_named(lines))):
        held = sum(len(line.strip()) for entry in entries for line in entry.lines)
        if len(entries) >= _MIN_RECORDS and held >= _MIN_SHARE * written:
            records = _records(entries)
            if records is not None:
                return DataShape("YAML", [records.table()])
    return None


def _is_configuration(line: str) -> bool:
    key = _KEY.match(line)
    return key is not None and key[1] in CONFIGURATION_KEYS


def _items(lines: Sequence[str]) -> Iterator[_YamlRecord]:
    """Yield the items of the lists with the indentation of the first list."""
    first = next((found for line in lines if (found := _ITEM.match(line))), None)
    if first is None:
        return
    entry, indent = _YamlRecord(), first[1]
    for line in lines:
        item = _ITEM.match(line)
        if item is not None and item[1] == indent:
            if entry.lines:
                yield entry
            entry = _YamlRecord([item[2] or ""])
        elif entry.lines and line.startswith(f"{indent}  "):
            entry.lines.append(line[len(indent) + 2 :])
        elif not _PROSE.match(line) and entry.lines:
            yield entry
            entry = _YamlRecord()
    if entry.lines:
        yield entry


def _named(lines: Sequence[str]) -> Iterator[_YamlRecord]:
    """Yield the entries of an object whose values are objects: fixtures, each with a name of its own."""
    entry = _YamlRecord()
    for line in lines:
        if _NAME.match(line):
            if entry.lines:
                yield entry
            entry = _YamlRecord()
        elif line.startswith("  "):
            entry.lines.append(line[2:])
    if entry.lines:
        yield entry


def _records(entries: Sequence[_YamlRecord]) -> Records | None:
    records, keyed = Records(), 0
    for entry in entries:
        fields = [(key[1], (key[2] or "").strip("\"'")) for line in entry.lines if (key := _KEY.match(line))]
        keyed += bool(fields)
        records.add(fields or [("value", entry.lines[0])], " ".join(line.strip() for line in entry.lines))
    if not keyed:
        return records if len(entries) >= _MIN_VALUES else None
    return records if records.is_uniform(_MIN_COMMON_KEYS) else None
