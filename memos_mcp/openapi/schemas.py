"""Makes the schema of a tool self-contained: references become copies, or `$defs` where they are cyclic or repeated."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, VALUES
from memos_mcp.openapi.findings import Findings, Unmappable
from memos_mcp.openapi.references import Definitions, Unresolvable, shown

SMALL_PARTS: Final = 6
"""A schema of up to so many keywords and values is copied wherever it is used, which is easier to read."""

ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "deprecated", "readOnly", "writeOnly", "example", "examples", "nullable"}
)
"""Keywords that may stand beside a reference and override those of its target."""

_DROPPED: Final = frozenset(
    {"$id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor", "$comment", "$defs", "definitions", "xml"}
    | {"externalDocs"}
)
"""Keywords that would change what a reference means in the copy, or that say nothing of a value."""

_BOUNDS: Final = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}
_UNSAFE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


def self_contained(schema: Mapping[str, Any], definitions: Definitions, findings: Findings) -> dict[str, Any]:
    """Return a copy in the words of JSON Schema 2020-12 that refers to its own `$defs` only."""
    try:
        return _Writer(schema, definitions, findings).written()
    except RecursionError:
        raise Unmappable("Its schema is nested too deep.") from None


class _Writer:
    def __init__(self, schema: Mapping[str, Any], definitions: Definitions, findings: Findings) -> None:
        self._schema = schema
        self._definitions = definitions
        self._findings = findings
        self._uses: Counter[str] = Counter()
        self._cyclic: set[str] = set()
        self._names: dict[str, str] = {}

    def written(self) -> dict[str, Any]:
        self._survey(self._schema, ())
        written: dict[str, Any] = self._copy(self._schema)
        defined: dict[str, Any] = {}
        while pending := [reference for reference in self._names if self._names[reference] not in defined]:
            for reference in pending:
                defined[self._names[reference]] = self._copy(self._definitions.find(reference))
        return written | ({"$defs": defined} if defined else {})

    def _survey(self, node: Any, path: tuple[str, ...]) -> None:
        """Count the uses of each target, and find those that lead back to themselves."""
        for reference in references_in(node):
            self._uses[reference] += 1
            if reference in path:
                self._cyclic.add(reference)
            elif self._uses[reference] == 1 and (target := self._target(reference)) is not None:
                self._survey(target, (*path, reference))

    def _target(self, reference: str) -> Any:
        try:
            return self._definitions.find(reference)
        except Unresolvable as error:
            self._findings.changed(f"The reference {shown(reference)} {error}; any value is accepted there.")
            return None

    def _copy(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._copy(child) for child in node]
        if not isinstance(node, Mapping):
            return node
        if isinstance(node.get("$ref"), str):
            return self._referred(node)
        copied = {keyword: self._child(keyword, child) for keyword, child in node.items() if not _is_dropped(keyword)}
        return _with_numeric_bounds(copied)

    def _child(self, keyword: str, child: Any) -> Any:
        if keyword in VALUES:
            return child
        if keyword == "required" and isinstance(child, list):  # a name that is repeated makes the schema invalid
            return [name for number, name in enumerate(child) if name not in child[:number]]
        if keyword in NAMED_SCHEMAS and isinstance(child, Mapping):
            return {name: self._copy(named) for name, named in child.items()}
        if keyword == "discriminator" and isinstance(child, Mapping):
            return _with_names(child)
        return self._copy(child)

    def _referred(self, node: Mapping[str, Any]) -> Any:
        reference = node["$ref"]
        beside = {
            keyword: self._child(keyword, child)
            for keyword, child in node.items()
            if keyword != "$ref" and not _is_dropped(keyword)
        }
        try:
            target = self._definitions.find(reference)
        except Unresolvable:
            return beside
        if reference in self._cyclic or (self._uses[reference] > 1 and not _is_small(target)):
            return {"$ref": f"#/$defs/{self._name(reference)}", **beside}
        copied = self._copy(target)
        if not beside:
            return copied
        if isinstance(copied, Mapping) and beside.keys() <= ANNOTATIONS and "$ref" not in copied:
            return {**copied, **beside}
        return {"allOf": [copied], **beside}

    def _name(self, reference: str) -> str:
        if reference not in self._names:
            name = _UNSAFE_NAME.sub("_", reference.removesuffix("#").rsplit("/", 1)[-1]) or "schema"
            taken = set(self._names.values())
            numbered = (name if number == 1 else f"{name}_{number}" for number in range(1, len(taken) + 2))
            self._names[reference] = next(candidate for candidate in numbered if candidate not in taken)
        return self._names[reference]


def _is_dropped(keyword: str) -> bool:
    """Whether a keyword is not copied. An extension may be named as one of ours, and mean something else."""
    return keyword in _DROPPED or keyword.startswith("x-")


def references_in(schema: Any) -> Iterator[str]:
    """Yield the references in a schema, not those in its values."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, Mapping):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for keyword, child in node.items():
                if _is_dropped(keyword) or keyword in VALUES or keyword == "discriminator":
                    continue
                if keyword in NAMED_SCHEMAS and isinstance(child, Mapping):
                    pending.extend(child.values())
                else:
                    pending.append(child)


def _is_small(schema: Any) -> bool:
    """Whether a schema is worth no name of its own: few parts, and no schemas inside, whose copies could multiply."""
    if not isinstance(schema, Mapping):
        return True
    parts = [part for child in schema.values() for part in (child if isinstance(child, list) else [child])]
    return len(parts) <= SMALL_PARTS and not any(isinstance(part, Mapping | list) for part in parts)


def _with_numeric_bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Convert the exclusive bounds of OpenAPI 3.0, which are true or false beside a bound, to those of JSON Schema."""
    for exclusive, bound in _BOUNDS.items():
        if isinstance(schema.get(exclusive), bool):
            is_exclusive = schema.pop(exclusive)
            if is_exclusive and bound in schema:
                schema[exclusive] = schema.pop(bound)
    return schema


def _with_names(discriminator: Mapping[str, Any]) -> dict[str, Any]:
    """Return a discriminator whose values name the schemas that they stand for instead of referring to them."""
    mapping = discriminator.get("mapping")
    kept = {key: child for key, child in discriminator.items() if key != "mapping"}
    if isinstance(mapping, Mapping):
        kept["mapping"] = {value: str(target).rsplit("/", 1)[-1] for value, target in mapping.items()}
    return kept
