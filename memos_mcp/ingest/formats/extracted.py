"""What the readers of PDF and office files have in common: the pages that they return, and the files they read."""

import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, fromstring

MAX_MEMBER_BYTES: Final = 64 * 1024**2
"""The limit for one file of an archive when it is decompressed. ElementTree takes some ten times as much memory."""


class Unreadable(Exception):
    """The file is not of its format, is encrypted, or is too large when it is decompressed."""


class Page(NamedTuple):
    """A page, slide or sheet, counted from 1, or a whole text (no number). `unit` is the word for it.

    With `has_headings`, lines that begin with `#` are headings, as in Markdown.
    """

    text: str
    unit: str = "page"
    number: int | None = None
    title: str = ""
    has_headings: bool = False


class OfficeArchive:
    """The files of a zipped office file."""

    def __init__(self, data: bytes) -> None:
        try:
            self._archive = zipfile.ZipFile(BytesIO(data))
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise Unreadable from error

    def __contains__(self, name: str) -> bool:
        return name in self._archive.NameToInfo

    def xml(self, name: str) -> Element:
        """Return the root of one of the files; raise `Unreadable`."""
        try:
            with self._archive.open(name) as file:
                data = file.read(MAX_MEMBER_BYTES)
                if not file.read(1):
                    return fromstring(data)  # noqa: S314  # expat expands no entities without a bound (since 2.4.1)
        except Exception as error:  # zlib, zipfile, the parser and missing files all raise errors of their own
            raise Unreadable from error
        raise Unreadable

    @property
    def main(self) -> str:
        """The name of the main file of an Office Open XML file; empty when none is named."""
        return next((name for kind, name in self.relations("").values() if kind == "officeDocument"), "")

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """Return the files that one refers to (Open Packaging Conventions): by id, the kind and the name of each."""
        folder, _, file = name.rpartition("/")
        path = f"{folder}/_rels/{file}.rels".removeprefix("/")
        if path not in self:
            return {}
        return {
            relation.get("Id", ""): (
                relation.get("Type", "").rpartition("/")[2],
                _resolved(folder, relation.get("Target", "")),
            )
            for relation in self.xml(path)
        }


def local_name(element: Element) -> str:
    """Return the name of an element without its namespace, which has two forms in each format."""
    return element.tag.rpartition("}")[2]


def attribute(element: Element, name: str) -> str | None:
    """Return an attribute by its name without a namespace."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), None)


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the direct children of one name."""
    return (child for child in element if local_name(child) == name)


def relation_id(entry: Element) -> str:
    """Return the id of the file that an entry of the main file refers to."""
    return next((value for key, value in entry.attrib.items() if key.endswith("}id")), "")


def one_line(text: str) -> str:
    """Return a text with single spaces only."""
    return " ".join(text.split())


def table_text(rows: Iterable[Iterable[str]]) -> str:
    """Return the rows of a table that have a text, one a line, with bars between their cells."""
    lines = (" | ".join(row).rstrip(" |") for row in rows)
    return "\n".join(line for line in lines if line)


def slide_page(title: str, paragraphs: Iterable[str], number: int) -> Page:
    """Return a slide; one without other text consists of its title."""
    text = "\n".join(paragraphs)
    return Page(text if text.strip() else title, "slide", number, title if text.strip() else "")


def _resolved(folder: str, target: str) -> str:
    if target.startswith("/"):
        return target[1:]
    parts = folder.split("/") if folder else []
    for part in target.split("/"):
        if part == "..":
            del parts[-1:]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
