"""The shape of SQL that inserts rows: dumps and seeds. A script that does other things too remains code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from memos_mcp.ingest.data.data_shape import DataShape, Records

_MIN_ROWS: Final = 10
_MAX_REST_SHARE: Final = 0.5
_MIN_REST_CHARS: Final = 1_000
"""What else is in the file is ingested too when it is more than this: the schema of a dump is code."""

_INSERT: Final = re.compile(
    r"^[ \t]*(?:INSERT|REPLACE)\s+(?:\w+\s+){0,3}?INTO\s+(?P<table>[\w.`\"\[\]]{1,200})\s*"
    r"(?:\((?P<columns>[^()]{1,5000})\))?\s*VALUES\b",
    re.IGNORECASE | re.MULTILINE,
)
_COPY: Final = re.compile(
    r"^COPY\s+(?P<table>[\w.\"]{1,200})\s*\((?P<columns>[^()]{1,5000})\)\s+FROM\s+stdin\b[^\n]*;\n",
    re.IGNORECASE | re.MULTILINE,
)
_CREATE: Final = re.compile(
    r"^[ \t]*CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<table>[\w.`\"\[\]]{1,200})\s*\(",
    re.IGNORECASE | re.MULTILINE,
)
_TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[(),;]", re.DOTALL)
_FOLLOWED: Final = re.compile(r"\s*(?:[,;]|ON\b|RETURNING\b|AS\b|$)", re.IGNORECASE)
_COLUMN: Final = re.compile(
    r"\s*[`\"\[]?(?!(?:PRIMARY|KEY|UNIQUE|CONSTRAINT|FOREIGN|INDEX|CHECK|EXCLUDE)\b)(\w+)[`\"\]]?\s+(\w+)",
    re.IGNORECASE,
)


def sql_shape(text: str) -> DataShape | None:
    """Return the tables and the rows that are inserted, or None when those are less than half of the text."""
    created = {
        _bare(match["table"]): _created_columns(text, match.end(), end) for match, end in _bounded(text, _CREATE)
    }
    tables: dict[str, Records] = {}
    others, end = list[str](), 0
    for rows in _statements(text):
        records = tables.setdefault(rows.table, Records(rows.table, "rows"))
        for values in rows.read():
            columns = rows.columns or created.get(rows.table, [])
            records.add(zip(columns, map(_value, values), strict=False), ", ".join(values))
        others += (text[end : rows.start], "\n" * text.count("\n", rows.start, rows.end))
        end = max(end, rows.end)
    rest = "".join([*others, text[end:]])
    size, size_of_rest = len(text.strip()), len("".join(rest.split()))
    if sum(records.count for records in tables.values()) < _MIN_ROWS or len(rest.strip()) > _MAX_REST_SHARE * size:
        return None
    found = [records.table() for records in tables.values()]
    return DataShape("SQL", found, rest if size_of_rest > _MIN_REST_CHARS else "")


def _statements(text: str) -> Iterator["_InsertedRows"]:
    """Yield the statements that insert rows in order. Each ends before the next one at the latest."""
    for match, limit in _bounded(text, _INSERT, _COPY):
        columns = [_bare(column) for column in match["columns"].split(",")] if match["columns"] else []
        yield _InsertedRows(text, _bare(match["table"]), columns, match.start(), match.end(), limit, match.re is _COPY)


def _bounded(text: str, *patterns: re.Pattern[str]) -> Iterator[tuple[re.Match[str], int]]:
    """Yield the matches in order, each with the start of the next one, so that no text is read twice."""
    matches = sorted((match for pattern in patterns for match in pattern.finditer(text)), key=re.Match.start)
    for number, match in enumerate(matches, start=1):
        yield match, matches[number].start() if number < len(matches) else len(text)


@dataclass(slots=True)
class _InsertedRows:
    """Reads the rows of a statement from a position on; `end` is where the statement ends."""

    text: str
    table: str
    columns: list[str]
    start: int
    end: int
    limit: int
    is_copy: bool

    def read(self) -> Iterator[list[str]]:
        """Yield the values of each row in the notation of the file."""
        return self.copied() if self.is_copy else self.inserted()

    def inserted(self) -> Iterator[list[str]]:
        """Yield the values of each row in parentheses, up to the semicolon."""
        depth, start, values = 0, self.end, list[str]()
        for token in _TOKEN.finditer(self.text, self.end, self.limit):
            sign, self.end = token[0], token.end()
            if sign == ";" and depth == 0:
                return
            if sign == "(":
                depth += 1
                if depth == 1:
                    start, values = token.end(), []
            elif sign in {",", ")"} and depth == 1:
                values.append(self.text[start : token.start()].strip())
                start = token.end()
            if sign == ")":
                depth -= 1
                if depth == 0 and _FOLLOWED.match(self.text, token.end()):
                    yield values
        self.end = self.limit

    def copied(self) -> Iterator[list[str]]:
        """Yield the values of each line, up to the line with a backslash and a dot."""
        while self.end < self.limit:
            start, newline = self.end, self.text.find("\n", self.end, self.limit)
            self.end = self.limit if newline < 0 else newline + 1
            line = self.text[start : self.end].removesuffix("\n")
            if line == r"\.":
                return
            yield line.split("\t")


def _created_columns(text: str, start: int, limit: int) -> list[str]:
    """Return the names of the columns of a table, from its definition after the first parenthesis."""
    names, depth, begin = [], 1, start
    for token in _TOKEN.finditer(text, start, limit):
        if token[0] in {",", ")"} and depth == 1 and (column := _COLUMN.match(text, begin, token.start())):
            names.append(column[1])
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 or token[0] == ";":
            break
        if token[0] == "," and depth == 1:
            begin = token.end()
    return names


def _value(text: str) -> str | None:
    """Return a value without its quotes, or None for NULL."""
    if text.upper() == "NULL" or text == r"\N":
        return None
    return text[1:-1] if text.startswith("'") else text


def _bare(name: str) -> str:
    return name.strip().translate({ord(quote): None for quote in '`"[]'})
