"""The text of OpenDocument files (ISO/IEC 26300): texts with headings, slides and sheets."""

from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree.ElementTree import Element

from memos_mcp.ingest.formats.extracted import (
    OfficeArchive,
    Page,
    Unreadable,
    attribute,
    children,
    local_name,
    one_line,
    slide_page,
    table_text,
)
from memos_mcp.ingest.formats.sheets import sheet_page

_UNSEEN: Final = frozenset({"tracked-changes", "annotation", "forms", "table-of-content", "notes"})
_MAX_REPEATED: Final = 64
"""An empty cell may be repeated a million times to fill a row."""


def pages(data: bytes) -> Iterator[Page]:
    """Yield the text of an `.odt`, the slides of an `.odp` or the sheets of an `.ods`."""
    body = next(children(OfficeArchive(data).xml("content.xml"), "body"), None)
    contents = None if body is None else next(iter(body), None)
    if contents is None:
        raise Unreadable
    if local_name(contents) == "presentation":
        yield from (_slide(page, number) for number, page in enumerate(children(contents, "page"), 1))
    elif local_name(contents) == "spreadsheet":
        for number, table in enumerate(children(contents, "table"), 1):
            yield sheet_page(map(_cells, _rows(table)), number, attribute(table, "name") or "")
    else:
        yield Page("\n\n".join(_lines(contents)), has_headings=True)


def _slide(page: Element, number: int) -> Page:
    title, paragraphs = "", []
    for frame in page:
        texts = [text for text in _lines(frame) if text]
        if not title and attribute(frame, "class") == "title":
            title = one_line(" ".join(texts))
        else:
            paragraphs += texts
    return slide_page(title, paragraphs, number)


def _lines(element: Element, mark: str = "") -> Iterator[str]:
    """Yield the paragraphs and the rows of tables in order."""
    for child in element:
        name = local_name(child)
        if name == "h":
            depth = attribute(child, "outline-level") or ""
            yield f"{'#' * min(int(depth), 6) if depth.isdecimal() else '#'} {one_line(_text(child))}"
        elif name == "p":
            if (text := _text(child)).strip():
                yield mark + text
        elif name == "table":
            yield table_text(map(_cells, _rows(child)))
        elif name not in _UNSEEN:
            yield from _lines(child, "- " if name == "list-item" else mark)


def _rows(table: Element) -> Iterator[Element]:
    return (element for element in table.iter() if local_name(element) == "table-row")


def _cells(row: Element) -> Sequence[str]:
    texts: list[str] = []
    for cell in row:
        repeated = attribute(cell, "number-columns-repeated") or "1"
        count = min(int(repeated), _MAX_REPEATED) if repeated.isdecimal() else 1
        texts += [one_line(" ".join(_lines(cell)))] * count
    return texts


def _text(element: Element) -> str:
    """Return the text of a paragraph; tabs, line ends and repeated spaces are elements."""
    parts = [element.text or ""]
    for child in element:
        name = local_name(child)
        if name in {"tab", "line-break"}:
            parts.append("\t" if name == "tab" else "\n")
        elif name == "s":
            count = attribute(child, "c") or "1"
            parts.append(" " * (min(int(count), _MAX_REPEATED) if count.isdecimal() else 1))
        elif name not in _UNSEEN:
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)
