"""The text of a PowerPoint file (ECMA-376, PresentationML) by its slides, with the notes of the speaker."""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from memos_mcp.ingest.formats.extracted import (
    OfficeArchive,
    Page,
    attribute,
    children,
    local_name,
    one_line,
    relation_id,
    slide_page,
    table_text,
)


def pages(data: bytes) -> Iterator[Page]:
    """Yield the slides in the order of the presentation."""
    archive = OfficeArchive(data)
    main = archive.main
    relations = archive.relations(main)
    slides = [entry for entry in archive.xml(main).iter() if local_name(entry) == "sldId"]
    for number, entry in enumerate(slides, 1):
        _, name = relations.get(relation_id(entry), ("", ""))
        yield _page(archive, name, number)


def _page(archive: OfficeArchive, name: str, number: int) -> Page:
    title, paragraphs = "", []
    for shape in _shapes(archive.xml(name)):
        texts = list(_paragraphs(shape))
        if not title and _placeholder(shape) in {"title", "ctrTitle"}:
            title = one_line(" ".join(texts))
        else:
            paragraphs += texts
    for kind, notes in archive.relations(name).values():
        if kind == "notesSlide" and notes in archive:
            shapes = (shape for shape in _shapes(archive.xml(notes)) if _placeholder(shape) == "body")
            paragraphs += [text for shape in shapes for text in _paragraphs(shape)]
    return slide_page(title, paragraphs, number)


def _shapes(root: Element) -> Iterator[Element]:
    """Yield shapes and tables, those of groups too."""
    return (element for element in root.iter() if local_name(element) in {"sp", "graphicFrame"})


def _placeholder(shape: Element) -> str | None:
    return next((attribute(element, "type") for element in shape.iter() if local_name(element) == "ph"), None)


def _paragraphs(shape: Element) -> Iterator[str]:
    """Yield the paragraphs with a text; those of a row of a table as one."""
    rows = [element for element in shape.iter() if local_name(element) == "tr"]
    if rows:
        yield table_text((one_line(" ".join(_runs(cell))) for cell in children(row, "tc")) for row in rows)
    for paragraph in () if rows else (element for element in shape.iter() if local_name(element) == "p"):
        if (text := "".join(_runs(paragraph))).strip():
            yield text


def _runs(element: Element) -> Iterator[str]:
    for part in element.iter():
        if local_name(part) == "t":
            yield part.text or ""
        elif local_name(part) == "br":
            yield "\n"
