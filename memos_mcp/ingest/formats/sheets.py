"""The sheets of an Excel file (ECMA-376, SpreadsheetML): a small one whole, the first rows of a large one."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from xml.etree.ElementTree import Element

from memos_mcp.ingest.formats.extracted import (
    OfficeArchive,
    Page,
    attribute,
    children,
    local_name,
    one_line,
    relation_id,
    table_text,
)

WHOLE_ROWS: Final = 50
FIRST_ROWS: Final = 20
"""More rows of a sheet are data, which would flood the text that somebody wrote."""

_COLUMN: Final = re.compile(r"[A-Z]{1,3}")
_DATE_FORMATS: Final = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
"""The built-in number formats that are dates and times (ECMA-376, 18.8.30)."""

_LITERAL: Final = re.compile(r'"[^"]*"|\[[^\]]*\]|\\.')
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001  # a cell has no time zone
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001  # a cell has no time zone


def sheet_page(rows: Iterable[Sequence[str]], number: int, title: str) -> Page:
    """Return the rows of a sheet with their cells separated by bars; those that are not shown are counted."""
    lines = table_text(rows).split("\n")
    if len(lines) > WHOLE_ROWS:
        lines[FIRST_ROWS:] = [f"… {len(lines) - FIRST_ROWS:,} more rows"]
    return Page("\n".join(lines), "sheet", number, one_line(title))


def pages(data: bytes) -> Iterator[Page]:
    """Yield the sheets in the order of their tabs."""
    archive = OfficeArchive(data)
    main = archive.main
    book, relations = archive.xml(main), archive.relations(main)
    cells = _Cells(archive, book, dict(relations.values()))
    sheets = (entry for entry in book.iter() if local_name(entry) == "sheet")
    for number, entry in enumerate(sheets, 1):
        kind, name = relations.get(relation_id(entry), ("", ""))
        if kind == "worksheet":
            rows = (row for row in archive.xml(name).iter() if local_name(row) == "row")
            yield sheet_page(map(cells.texts, rows), number, entry.get("name") or "")


class _Cells:
    """Reads cells: shared texts and the formats of dates are in files of their own."""

    def __init__(self, archive: OfficeArchive, book: Element, files: dict[str, str]) -> None:
        shared = files.get("sharedStrings", "")
        self._shared = [_text(entry) for entry in archive.xml(shared)] if shared in archive else []
        styles = files.get("styles", "")
        self._dates = _date_styles(archive.xml(styles)) if styles in archive else frozenset()
        is_1904 = any(attribute(entry, "date1904") in {"1", "true"} for entry in children(book, "workbookPr"))
        self._epoch = _EPOCH_1904 if is_1904 else _EPOCH

    def texts(self, row: Element) -> Sequence[str]:
        """Return the cells of a row, with empty ones between them."""
        texts: list[str] = []
        for cell in children(row, "c"):
            column = _column(cell.get("r") or "")
            texts += [""] * (column - len(texts))
            texts.append(one_line(self._value(cell)))
        return texts

    def _value(self, cell: Element) -> str:
        value = next((child.text or "" for child in children(cell, "v")), "")
        if not value and (formula := next(children(cell, "f"), None)) is not None:  # never computed
            return f"={formula.text or ''}"
        match cell.get("t", "n"):
            case "s":
                return self._shared[int(value)] if value.isdigit() and int(value) < len(self._shared) else ""
            case "inlineStr":
                return _text(cell)
            case "b":
                return "TRUE" if value == "1" else "FALSE"
            case "n" if value and cell.get("s", "") in self._dates:
                return self._date(value)
            case _:
                return value

    def _date(self, value: str) -> str:
        try:
            moment = self._epoch + timedelta(days=float(value))
        except (ValueError, OverflowError):
            return value
        moment = (moment + timedelta(milliseconds=500)).replace(microsecond=0)
        return moment.date().isoformat() if float(value).is_integer() else moment.isoformat(" ")


def _text(element: Element) -> str:
    """Return the text of runs, without the reading aids of Japanese (rPh)."""
    if local_name(element) in {"rPh", "f"}:
        return ""
    own = element.text or "" if local_name(element) == "t" else ""
    return own + "".join(map(_text, element))


def _column(reference: str) -> int:
    """Return the number of a cell's column from 0; at most the last one of the format."""
    found = _COLUMN.match(reference)
    number = 0
    for letter in found[0] if found else "":
        number = number * 26 + ord(letter) - ord("A") + 1
    return min(max(number, 1), 16_384) - 1


def _date_styles(styles: Element) -> frozenset[str]:
    """Return the numbers of the cell styles that show dates."""
    dates = {str(number) for number in _DATE_FORMATS}
    for entry in styles.iter():
        if local_name(entry) == "numFmt" and re.search(
            "[ymdhs]", _LITERAL.sub("", entry.get("formatCode") or "").lower()
        ):
            dates.add(entry.get("numFmtId") or "")
    formats = next(children(styles, "cellXfs"), None)
    entries = enumerate(() if formats is None else islice(formats, 65_536))
    return frozenset(str(index) for index, entry in entries if entry.get("numFmtId") in dates)
