"""The shape of XML that is a long sequence of the same element."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from memos_mcp.ingest.data.data_shape import DataShape, Records

_MIN_RECORDS: Final = 50
_MIN_SHARE: Final = 0.8
_EXAMPLE_BYTES: Final = 1_000
_MAX_KINDS: Final = 1_000
_MAX_LEVEL: Final = 4
"""A record is at most this deep in the file; the root is at level 1."""

_CONFIGURATION: Final = frozenset(
    (
        *("project", "beans", "configuration", "manifest", "web-app", "persistence", "module"),
        *("schema", "stylesheet", "definitions"),
    )
)
"""Root elements of Maven, MSBuild, Spring, web servers, Android, JPA, IDEs, XML Schema, XSLT and WSDL."""


class _NotData(Exception):
    """The text declares entities, which are not expanded, or is a file of settings."""


@dataclass(slots=True)
class _XmlElement:
    name: str
    start: int
    fields: list[tuple[str, object]]
    text: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Elements:
    """Collects elements by level and name while a parser reads them."""

    parser: Any
    data: bytes
    open: list[_XmlElement] = field(default_factory=list)
    records: dict[tuple[int, str], Records] = field(default_factory=dict)
    sizes: Counter[tuple[int, str]] = field(default_factory=Counter)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.open and name.rpartition(":")[2].lower() in _CONFIGURATION:
            raise _NotData
        self.open.append(_XmlElement(name, self.parser.CurrentByteIndex, list(attributes.items())))

    def characters(self, text: str) -> None:
        if self.open:
            self.open[-1].text.append(text)

    def end(self, _name: str) -> None:
        element = self.open.pop()
        text = "".join(element.text).strip()
        if self.open:
            self.open[-1].fields.append((element.name, text or None))
        key, end = (len(self.open) + 1, element.name), self.data.find(b">", self.parser.CurrentByteIndex) + 1
        if 1 < key[0] <= _MAX_LEVEL and (key in self.records or len(self.records) < _MAX_KINDS):
            records = self.records.setdefault(key, Records(element.name, "elements"))
            fields = [*element.fields, ("text", text)] if text else element.fields
            shown = slice(element.start, 0 if records.has_examples else min(end, element.start + _EXAMPLE_BYTES))
            records.add(dict(fields).items(), self.data[shown].decode(errors="ignore"))
            self.sizes[key] += end - element.start

    def entity(self, *_: object) -> None:
        raise _NotData


def xml_shape(text: str, *, is_cut: bool) -> DataShape | None:
    """Return the shape of records, or None for settings, documents, and what is not XML."""
    data = text.encode()
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    elements = _Elements(parser, data)
    parser.StartElementHandler, parser.EndElementHandler = elements.start, elements.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = elements.characters, elements.entity
    try:
        parser.Parse(data, not is_cut)
    except (expat.ExpatError, _NotData):
        return None
    for key, records in sorted(elements.records.items(), key=lambda item: (item[0][0], -item[1].count)):
        if records.count >= _MIN_RECORDS and records.is_uniform() and elements.sizes[key] >= _MIN_SHARE * len(data):
            return DataShape("XML", [records.table()])
    return None
