"""The text of a Word file (ECMA-376, WordprocessingML): paragraphs, headings, lists and tables."""

import re
from collections.abc import Iterator, Mapping
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
    table_text,
)

_HEADING: Final = re.compile(r"heading (\d)$")
_TEXT: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_UNSEEN: Final = frozenset({"del", "moveFrom", "instrText", "pPr", "rPr", "Fallback"})
"""What is deleted or no text; the fallback of a text box repeats it."""


def pages(data: bytes) -> Iterator[Page]:
    """Yield the whole text: where its pages end is known only when it is printed."""
    archive = OfficeArchive(data)
    main = archive.main
    depths = _heading_depths(archive, main)
    body = next(children(archive.xml(main), "body"), None)
    if body is None:
        raise Unreadable
    notes = (name for kind, name in archive.relations(main).values() if kind in {"footnotes", "endnotes"})
    lines = [
        *_lines(body, depths),
        *(line for name in notes if name in archive for line in _lines(archive.xml(name), {})),
    ]
    yield Page("\n\n".join(lines), has_headings=True)


def _heading_depths(archive: OfficeArchive, main: str) -> Mapping[str, int]:
    """Return the depth of each style that is a heading; their names are English in every language of Word."""
    styles = next((name for kind, name in archive.relations(main).values() if kind == "styles"), "")
    depths = {}
    for style in children(archive.xml(styles), "style") if styles in archive else ():
        name = next((attribute(child, "val") for child in children(style, "name")), None) or ""
        if found := _HEADING.match(name.lower()):
            depths[attribute(style, "styleId") or ""] = int(found[1])
        elif name.lower() == "title":
            depths[attribute(style, "styleId") or ""] = 1
    return depths


def _lines(element: Element, depths: Mapping[str, int]) -> Iterator[str]:
    """Yield the paragraphs and the rows of tables in order."""
    for child in element:
        name = local_name(child)
        if name == "p":
            if (text := _paragraph(child)).strip():
                depth = _depth(child, depths)
                yield f"{'#' * min(depth, 6)} {one_line(text)}" if depth else _item_mark(child) + text
        elif name == "tbl":
            yield table_text(_cells(row, depths) for row in children(child, "tr"))
        elif name not in _UNSEEN:
            yield from _lines(child, depths)


def _cells(row: Element, depths: Mapping[str, int]) -> Iterator[str]:
    for cell in children(row, "tc"):
        yield one_line(" ".join(_lines(cell, depths)))


def _paragraph(element: Element) -> str:
    name = local_name(element)
    if name == "t":
        return element.text or ""
    if name in _TEXT:
        return _TEXT[name]
    return "" if name in _UNSEEN else "".join(map(_paragraph, element))


def _depth(paragraph: Element, depths: Mapping[str, int]) -> int:
    """Return the depth of a heading, from its style or its outline level; 0 for other paragraphs."""
    for child in (found for properties in children(paragraph, "pPr") for found in properties):
        value = attribute(child, "val") or ""
        if local_name(child) == "pStyle" and value in depths:
            return depths[value]
        if local_name(child) == "outlineLvl" and value in {"0", "1", "2", "3", "4", "5"}:
            return int(value) + 1
    return 0


def _item_mark(paragraph: Element) -> str:
    properties = next(children(paragraph, "pPr"), None)
    return "- " if properties is not None and any(children(properties, "numPr")) else ""
