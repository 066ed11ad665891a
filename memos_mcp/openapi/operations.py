"""Lists the operations of a description, each with the tool_id that it gets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from memos_mcp.domain.limits import MAX_NAME_CHARS
from memos_mcp.domain.request_locations import METHODS, Method
from memos_mcp.openapi.findings import Findings
from memos_mcp.openapi.references import Definitions, Unresolvable, shown

_METHODS: Final[Mapping[str, Method]] = {name.lower(): name for name in METHODS}
_OTHER_METHODS: Final = ("options", "trace", "query")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation, what its path says for all its operations, and its ids."""

    method: Method
    path: str
    item: Mapping[str, Any]
    fields: Mapping[str, Any]
    tool_id: str

    @property
    def label(self) -> str:
        """Its name in reports."""
        return f"{self.method} {self.path}"

    @property
    def names(self) -> frozenset[str]:
        """What `--include` may name it by: its tags and its ids."""
        tags = self.fields.get("tags")
        named = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
        return frozenset([*named, str(self.fields.get("operationId", self.tool_id)), self.tool_id, self.label])


@dataclass(slots=True)
class Operations:
    """The operations in the order of the description. `total` also counts those that cannot be one of a tool."""

    listed: list[Operation] = field(default_factory=list)
    total: int = 0


def operations_of(root: Mapping[str, Any], source: str, definitions: Definitions, findings: Findings) -> Operations:
    """Return the operations of a description; report what cannot be one."""
    found = Operations()
    taken: set[str] = set()
    paths = root.get("paths")
    for path, node in paths.items() if isinstance(paths, Mapping) else ():
        if path.startswith("x-"):
            continue
        with findings.of(path):
            item = _item(node, definitions, findings)
        for name, fields in item.items():
            if name not in _METHODS and name not in _OTHER_METHODS:
                continue
            found.total += 1
            with findings.of(f"{name.upper()} {path}"):
                if name in _OTHER_METHODS:
                    findings.not_added("A tool cannot have this method.")
                elif not isinstance(fields, Mapping):
                    findings.not_added("It is not an object, or refers to something that is not there.")
                else:
                    tool_id = _tool_id(source, name, path, fields, taken)
                    taken.add(tool_id)
                    found.listed.append(Operation(_METHODS[name], path, item, fields, tool_id))
    return found


def _item(node: Any, definitions: Definitions, findings: Findings) -> Mapping[str, Any]:
    """Return what a path stands for, with its operations, some of which are references in files of several."""
    try:
        item = definitions.follow(node)
    except Unresolvable as error:
        findings.not_added(f"The path refers to {shown(str(node.get('$ref')))}, which {error}.")
        return {}
    if not isinstance(item, Mapping):
        findings.not_added("The path is not an object.")
        return {}
    return {name: _followed(child, definitions) if name in _METHODS else child for name, child in item.items()}


def _followed(node: Any, definitions: Definitions) -> Any:
    try:
        return definitions.follow(node)
    except Unresolvable:
        return None


def _tool_id(source: str, method: str, path: str, fields: Mapping[str, Any], taken: set[str]) -> str:
    """Return `source.operationId`, or an id made of method and path where that is missing, unusable or taken."""
    given = fields.get("operationId")
    made = f"{method.lower()}_{_UNSAFE.sub('_', path).strip('_')}".rstrip("_")
    usable = isinstance(given, str) and given.strip() == given and given.isprintable() and bool(given)
    candidates = [f"{source}.{given}"] if usable else []
    candidates += [f"{source}.{made}", *(f"{source}.{made}_{number}" for number in range(2, len(taken) + 3))]
    return next(name for name in candidates if name not in taken and len(name) <= MAX_NAME_CHARS)
