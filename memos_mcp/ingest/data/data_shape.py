"""The shape of data: tables of records that have the same keys, and a few examples."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_SAMPLE: Final = 1_000
"""The records of a table whose values are inspected; the others are only counted."""

_MIN_UNIFORMITY: Final = 0.75
"""The share of all keys that are in most records."""

_MAX_KEYS: Final = 500
_EXAMPLES: Final = 3

MAX_EXAMPLE_CHARS: Final = 300

_TYPES: Final = {bool: "boolean", int: "integer", float: "number"}
_BOOLEANS: Final = frozenset({"true", "false", "yes", "no"})
_INTEGER: Final = re.compile(r"[+-]?\d{1,30}")
_NUMBER: Final = re.compile(r"[+-]?(?:\d{1,30}(?:[.,]\d{0,30})?|[.,]\d{1,30})(?:[eE][+-]?\d{1,4})?")
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}\S{0,16})?)?")


@dataclass(frozen=True, slots=True)
class DataTable:
    """Records of one kind. `name` is empty for the only kind of a file; `columns` are names with types."""

    name: str
    unit: str
    count: int
    columns: Mapping[str, str]
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class DataShape:
    """What a file of data holds. `size` is its size in bytes when only its first part, `read` bytes, was inspected.

    `rest` is what else the file holds, with empty lines instead of the data.
    """

    format: str
    tables: Sequence[DataTable]
    rest: str = ""
    read: int = 0
    size: int | None = None

    @property
    def count(self) -> int:
        return sum(table.count for table in self.tables)


@dataclass(slots=True)
class Records:
    """Collects the records of a table: how many there are, which keys they have, and of which types the values are."""

    name: str = ""
    unit: str = "entries"
    count: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    types: dict[str, Counter[str]] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    def add(self, record: Iterable[tuple[str, object]], example: str) -> None:
        """Add a record: its keys and values, and how it looks like in the file."""
        self.count += 1
        if not self.has_examples:
            self.examples.append(example[: MAX_EXAMPLE_CHARS + 1])
        if self.count > _SAMPLE:
            return
        for key, value in record:
            if key in self.keys or len(self.keys) < _MAX_KEYS:
                self.keys[key] += 1
                self.types.setdefault(key, Counter())[type_of(value)] += 1

    @property
    def has_examples(self) -> bool:
        """Whether the examples of further records are not needed."""
        return len(self.examples) == _EXAMPLES

    def is_uniform(self, min_common: float = 1) -> bool:
        """Whether most keys of the records are in most of them, at least so many of them in an average record."""
        sampled = min(self.count, _SAMPLE)
        common = sum(count for count in self.keys.values() if 2 * count >= sampled)
        return common >= max(_MIN_UNIFORMITY * self.keys.total(), min_common * sampled)

    def table(self) -> DataTable:
        columns = {key: _type(self.types[key]) for key in self.keys}
        return DataTable(self.name, self.unit, self.count, columns, tuple(self.examples))


def type_of(value: object) -> str:
    """Return the name of a value's type; a text has that of what it can be read as, and none when it is empty."""
    if value is None or isinstance(value, str):
        return _type_of_text((value or "").strip())
    if isinstance(value, Mapping):
        return "object"
    return _TYPES.get(type(value), "list")


def _type_of_text(text: str) -> str:
    if not text:
        return ""
    if text.lower() in _BOOLEANS:
        return "boolean"
    if _INTEGER.fullmatch(text):
        return "integer"
    if _NUMBER.fullmatch(text):
        return "number"
    return "time" if _TIME.fullmatch(text) else "text"


def _type(types: Counter[str]) -> str:
    found = set(types) - {""}
    if found == {"integer", "number"}:
        return "number"
    if len(found) > 1:
        return "text" if "text" in found and not found & {"object", "list"} else "mixed"
    return found.pop() if found else "empty"
