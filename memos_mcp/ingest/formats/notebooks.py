"""Reads Jupyter notebooks: their cells as code and Markdown, without outputs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from memos_mcp.ingest.text.headings import markdown_headings
from memos_mcp.ingest.text.parts import SourcePart

_LANGUAGES: Final = {
    "ipython": "python",
    "c++": "cpp",
    "c#": "csharp",
    ".net (c#)": "csharp",
    "bash": "shell",
    "sh": "shell",
}
_MAGICS: Final = {
    "bash": "shell", "sh": "shell", "script": "shell", "javascript": "javascript", "js": "javascript", "html": "html",
    "sql": "sql", "r": "r", "ruby": "ruby", "perl": "perl", "markdown": "markdown", "latex": "latex", "writefile": None,
}  # fmt: skip
"""The languages of cells that begin with `%%name`; other magics keep the language of the kernel."""

_CELL_MAGIC: Final = re.compile(r"\s*%%(\w+)")
_NOT_PYTHON: Final = re.compile(r"^[ \t]*+(?:[!%?][^\n]*|[^\n#'\"]*\?)$", re.MULTILINE)
"""Lines of IPython that Python does not parse: magics, shell commands and requests for help."""

_EMBEDDED: Final = re.compile(r"(data:[\w/+.-]+;base64,)[A-Za-z0-9+/=]{100,}")
"""A picture in Markdown."""


class NotANotebook(Exception):
    """The text is not a notebook of format 3 or 4."""


def notebook_parts(text: str) -> tuple[SourcePart, ...]:
    """Return the cells of a notebook that have a text, in order, without embedded pictures; raise `NotANotebook`."""
    try:
        notebook = json.loads(text)
        cells = _cells(notebook)
        language = _kernel_language(notebook)
        return tuple(_parts(cells, language))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NotANotebook from error


def _cells(notebook: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if "worksheets" in notebook:  # format 3
        return [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
    cells: Sequence[Mapping[str, Any]] = notebook["cells"]
    return cells


def _kernel_language(notebook: Mapping[str, Any]) -> str | None:
    metadata = notebook.get("metadata") or {}
    kernel, info = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
    name = str(info.get("name") or kernel.get("language") or "").lower()
    return _LANGUAGES.get(name, name) or None


def _parts(cells: Sequence[Mapping[str, Any]], language: str | None) -> Iterator[SourcePart]:
    """Yield the cells. The headings of the text above enclose a cell of code."""
    above: list[tuple[int, str]] = []
    for number, cell in enumerate(cells, 1):
        text = _source(cell)
        if not text.strip():
            continue
        kind = cell["cell_type"]
        names = tuple(title for _, title in above)
        if kind == "markdown":
            outer = [heading for heading in above if heading[0] < _first_depth(text)]
            names = tuple(title for _, title in outer)
            above = _headings_after(above, text)
        yield _part(text, number, kind, names, language)


def _source(cell: Mapping[str, Any]) -> str:
    source = cell.get("source", cell.get("input", ""))
    text = source if isinstance(source, str) else "".join(source)
    return _EMBEDDED.sub(r"\1…", text.replace("\r\n", "\n").replace("\r", "\n"))


def _part(text: str, number: int, kind: str, names: tuple[str, ...], kernel: str | None) -> SourcePart:
    label, details = f"cell {number}", {"cell": number}
    if kind != "code":
        return SourcePart(text, "markdown" if kind == "markdown" else None, names, label, details=details)
    magic = _CELL_MAGIC.match(text)
    language = _MAGICS.get(magic[1].lower(), kernel) if magic else kernel
    parsed = _NOT_PYTHON.sub("", text) if language == "python" else None
    return SourcePart(text, language, names, label, parsed=parsed, details=details)


def _first_depth(text: str) -> int:
    """Return the depth of the first heading; text before any is part of the section above."""
    first = next(iter(markdown_headings(text.split("\n"))), None)
    return first.depth if first is not None and not "".join(text.split("\n")[: first.line]).strip() else 7


def _headings_after(above: list[tuple[int, str]], text: str) -> list[tuple[int, str]]:
    for heading in markdown_headings(text.split("\n")):
        above = [*(outer for outer in above if outer[0] < heading.depth), (heading.depth, heading.title)]
    return above
