"""Recognizes data files by the shape of their text: many records of the same kind, which nobody reads one by one."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from memos_mcp.ingest.data.data_shape import DataShape
from memos_mcp.ingest.data.delimited_data import csv_shape, json_lines_shape
from memos_mcp.ingest.data.json_data import json_shape
from memos_mcp.ingest.data.message_catalog import catalog_shape
from memos_mcp.ingest.data.sql_data import sql_shape
from memos_mcp.ingest.data.xml_data import xml_shape
from memos_mcp.ingest.data.yaml_data import yaml_shape
from memos_mcp.ingest.files.file_names import data_format

_CONFIGURATION: Final = re.compile(
    r"(?:package|composer|project|manifest|app|angular|nx|turbo|lerna|vercel|firebase|biome|deno|bower|cspell|rush)\.json"
    r"|(?:ts|js)config.*\.json|appsettings.*\.json|.*\.schema\.json|.*\.config\.json|.*rc\.json"
    r"|(?:openapi|swagger|asyncapi).*|(?:docker-)?compose.*|values.*\.ya?ml|pom\.xml|build\.xml"
)
"""Names of files of settings and of descriptions of interfaces, in lower case."""


def shape_of(path: str, text: str, *, is_cut: bool = False) -> DataShape | None:
    """Return the shape of a file of data, or None for everything else; `is_cut`: the text is only its first part."""
    name = data_format(path)
    return None if name is None or _is_configuration(path) else _SHAPES[name](text, is_cut)


def _json_or_lines(text: str, is_cut: bool) -> DataShape | None:  # noqa: FBT001 - called by position, as the others
    return json_shape(text, is_cut=is_cut) or json_lines_shape(text)


_SHAPES: Final[dict[str, Callable[[str, bool], DataShape | None]]] = {
    "delimited": lambda text, _: csv_shape(text),
    "json lines": lambda text, _: json_lines_shape(text),
    "json": _json_or_lines,
    "yaml": lambda text, _: yaml_shape(text),
    "xml": lambda text, is_cut: xml_shape(text, is_cut=is_cut),
    "sql": lambda text, _: sql_shape(text),
    "gettext": lambda text, _: catalog_shape(text),
}
"""What finds the shape of a text in each format."""


def _is_configuration(path: str) -> bool:
    """Whether the name shows settings; those of tools begin with a dot, or are in a folder that does."""
    parts = PurePosixPath(path.lower()).parts
    return any(part.startswith(".") for part in parts) or _CONFIGURATION.fullmatch(parts[-1]) is not None
