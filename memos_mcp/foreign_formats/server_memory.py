"""The knowledge graph of the reference memory server of MCP.

Its file `memory.jsonl` (`memory.json` before 2025) has a line of JSON for each entity (`type` "entity", `name`,
`entityType`, `observations`) and relation (`type` "relation", `from`, `to`, `relationType`). The answer of its tool
`read_graph`, an object with the lists `entities` and `relations`, is read too. Neither has times.
Source: github.com/modelcontextprotocol/servers, src/memory/index.ts and README.md.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.foreign_formats import graph_sentences
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import mapping, text
from memos_mcp.foreign_formats.json_elements import elements

FILES: Final = re.compile(r"(^|/)memory\.jsonl?$")

_WHOLE_GRAPH: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(?:entities|relations)"\s*:')
_HEAD_BYTES: Final = 4_096
_LISTS: Final = {"entities": "entity", "relations": "relation"}


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield a memory for each observation and relation of a graph."""
    with file.open() as stream:
        if _WHOLE_GRAPH.match(stream.peek(_HEAD_BYTES)):
            for key, number, value in elements(stream, *_LISTS):
                yield from _record(f"{file.name}: {key} {number}", _LISTS.get(key), value)
            return
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield from _line(f"{file.name}: line {number}", line)


def _line(where: str, line: bytes) -> Iterator[Entry]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        yield NotImported(where, "This is not JSON in UTF-8.", refused=True)
    else:
        yield from _record(where, mapping(record).get("type"), record)


def _record(where: str, kind: object, record: object) -> Iterator[Entry]:
    try:
        if kind == "entity":
            yield from _entity(where, mapping(record))
        elif kind == "relation":
            source, words, target = (_named(mapping(record), field) for field in ("from", "relationType", "to"))
            yield ForeignMemory(where, graph_sentences.relation(source, words, target))
        else:
            yield NotImported(where, "This is neither an entity nor a relation.", refused=True)
    except Invalid as error:
        yield NotImported(where, str(error), refused=True)


def _entity(where: str, fields: Mapping[str, Any]) -> Iterator[Entry]:
    name, entity_type = _named(fields, "name"), text(fields.get("entityType"))
    observations = fields.get("observations", [])
    if not isinstance(observations, list):
        raise Invalid("observations is no list.")
    if not observations and entity_type is not None:
        yield ForeignMemory(where, graph_sentences.bare_entity(name, entity_type))
    for number, content in enumerate(observations, start=1):
        if text(content) is None:
            yield NotImported(f"{where}, observation {number}", "The observation is no text.", refused=True)
        else:
            yield ForeignMemory(where, graph_sentences.observation(name, entity_type, content))


def _named(fields: Mapping[str, Any], field: str) -> str:
    found = text(fields.get(field))
    if found is None:
        raise Invalid(f"{field} is missing or is no text.")
    return found
