"""Resolves the references of an OpenAPI description, also those to other files."""

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.json_schema import VALUES
from memos_mcp.openapi.api_text import parse_api
from memos_mcp.openapi.findings import Findings

ReadFile: TypeAlias = Callable[[str], bytes]
"""Returns a file by its path relative to the description; raises `Invalid` when it cannot or may not be read."""

MAX_HOPS: Final = 20
SHOWN_CHARS: Final = 120

_NAME_MAPS: Final = frozenset(
    {
        "properties",
        "patternProperties",
        "dependentSchemas",
        "$defs",
        "definitions",
        "schemas",
        "parameters",
        "responses",
    }
    | {"requestBodies", "headers", "paths", "pathItems", "securitySchemes"}
)
"""Keywords whose keys are names: a schema may be called `default`."""

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|//")


class Unresolvable(Exception):
    """A reference leads nowhere. The message says why, as the end of a sentence that begins with the reference."""


class Definitions:
    """A description with the files that it refers to, each read when it is needed first.

    A reference is `FILE#/pointer`, FILE relative to the description and empty for the description itself.
    """

    def __init__(self, root: Mapping[str, Any], findings: Findings, read_file: ReadFile | None = None) -> None:
        self._files: dict[str, Any] = {"": _relocated(root, "", is_names=False)}
        self._findings = findings
        self._read_file = read_file

    @property
    def root(self) -> Mapping[str, Any]:
        """The description."""
        root: Mapping[str, Any] = self._files[""]
        return root

    def find(self, reference: str) -> Any:
        """Return what a reference stands for; raise `Unresolvable` when it leads nowhere."""
        file, _, pointer = reference.partition("#")
        found = self._file(file)
        if pointer and not pointer.startswith("/"):
            raise Unresolvable("is an anchor, which is not resolved; use a pointer such as #/components/schemas/Name")
        for token in pointer.split("/")[1:]:
            name = unquote(token).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise Unresolvable("is not in the document")
        return found

    def follow(self, node: Any) -> Any:
        """Return a node, or what its `$ref` stands for, with the summary and description beside the reference."""
        beside: dict[str, Any] = {}
        for _ in range(MAX_HOPS):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return {**node, **beside} if beside and isinstance(node, Mapping) else node
            beside = {name: node[name] for name in ("summary", "description") if name in node} | beside
            node = self.find(node["$ref"])
        raise Unresolvable("leads in circles")

    def _file(self, path: str) -> Any:
        if path not in self._files:
            if _ADDRESS.match(path):
                raise Unresolvable("is another document on the web, which is not fetched; bundle both into one file")
            if self._read_file is None:
                raise Unresolvable("is in another file, which is read only beside a file; bundle both into one file")
            try:
                content = parse_api(self._read_file(path), path, self._findings)
            except Invalid as error:
                raise Unresolvable(f"cannot be read: {str(error).rstrip('.')}") from None
            self._files[path] = _relocated(content, path, is_names=False)
        return self._files[path]


def shown(reference: str) -> str:
    """Return a reference for a message."""
    reference = reference.removesuffix("#")
    return reference if len(reference) <= SHOWN_CHARS else f"{reference[:SHOWN_CHARS]} …"


def _relocated(node: Any, path: str, *, is_names: bool) -> Any:
    """Return a node of a file with references that are relative to the description instead of that file."""
    if isinstance(node, list):
        return [_relocated(child, path, is_names=False) for child in node]
    if not isinstance(node, Mapping):
        return node
    return {
        name: _from_root(path, child)
        if name == "$ref" and isinstance(child, str) and not is_names
        else child
        if name in VALUES and not is_names
        else _relocated(child, path, is_names=name in _NAME_MAPS and not is_names)
        for name, child in node.items()
    }


def _from_root(path: str, reference: str) -> str:
    file, _, pointer = reference.partition("#")
    if _ADDRESS.match(file):
        return reference
    return f"{posixpath.normpath(posixpath.join(posixpath.dirname(path), unquote(file))) if file else path}#{pointer}"
