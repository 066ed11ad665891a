"""Maps the parameters of an operation to arguments of a tool."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from memos_mcp.domain.request_locations import HEADER_NAME, OWN_HEADERS
from memos_mcp.openapi.arguments import Argument
from memos_mcp.openapi.findings import Findings, Unmappable
from memos_mcp.openapi.references import Definitions, Unresolvable, shown
from memos_mcp.openapi.shapes import possible_types

_IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})
"""Parameters of these names are no parameters (https://spec.openapis.org/oas/v3.1.0#parameter-object)."""
_HEADERS_OF_THE_CALLER: Final = OWN_HEADERS | {"cookie", "proxy-authorization"}
_DEFAULT_STYLES: Final = {"path": "simple", "query": "form", "header": "simple"}
_STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
}
_PREFIXES: Final = {"label": ".{{{0}}}", "matrix": ";{0}={{{0}}}"}
"""How these styles write one value: the signs become part of the path."""

_NAME_IN_PATH: Final = re.compile(r"\{([^{}]+)\}")
_UNSAFE_IN_PATH: Final = re.compile(r"[^\w$-]+")
_DESCRIBING: Final = ("description", "deprecated", "example")


@dataclass(slots=True)
class Parameters:
    """The arguments, and the path with their names."""

    path: str
    arguments: list[Argument] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter with its references resolved. `types`: those that its schema names."""

    name: str
    where: Literal["path", "query", "header"]
    fields: Mapping[str, Any]
    schema: Mapping[str, Any]
    types: frozenset[str]
    style: str

    @property
    def explode(self) -> bool:
        """Whether each entry of a list and each property of an object is written by itself."""
        explode = self.fields.get("explode")
        return explode if isinstance(explode, bool) else self.style in {"form", "deepObject"}


class _Unsendable(Exception):
    """A parameter cannot be sent; the message says why, as the end of a sentence."""


def parameters_of(
    path: str, item: Mapping[str, Any], operation: Mapping[str, Any], definitions: Definitions, findings: Findings
) -> Parameters:
    """Return the arguments of an operation; raise `Unmappable` when it has a required one that cannot be sent."""
    mapped = Parameters(path)
    taken: set[str] = set()
    for (name, where), node in _merged(item, operation, definitions).items():
        if where == "header" and name.lower() in _IGNORED_HEADERS:
            findings.noticed(f"The header {name} is written by the caller of a tool, and no argument.")
            continue
        try:
            argument = _argument(_read(name, where, node, definitions), mapped, taken)
        except _Unsendable as reason:
            label = f"The {where} parameter {name!r}"
            if node.get("required") is True and (where != "path" or f"{{{name}}}" in path):
                raise Unmappable(f"{label} is required and {reason}.") from None
            findings.changed(f"{label} {reason}; it is left out.")
        else:
            taken.add(argument.name)
            mapped.arguments.append(argument)
    _complete_path(mapped, taken, findings)
    return mapped


def _merged(
    item: Mapping[str, Any], operation: Mapping[str, Any], definitions: Definitions
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Return the parameters of the path and of the operation, which override those of the path; those in it first."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for owner in (item, operation):
        listed = owner.get("parameters") or []
        for entry in listed if isinstance(listed, list) else []:
            try:
                node = definitions.follow(entry)
            except Unresolvable as error:
                raise Unmappable(f"A parameter refers to {shown(str(entry.get('$ref')))}, which {error}.") from None
            name, where = (node.get("name"), node.get("in")) if isinstance(node, Mapping) else (None, None)
            if not isinstance(name, str) or not isinstance(where, str) or not name.strip():
                raise Unmappable("It has a parameter without a name or a location.")
            found[name, where] = node
    return dict(sorted(found.items(), key=lambda parameter: parameter[0][1] != "path"))


def _read(name: str, where: str, node: Mapping[str, Any], definitions: Definitions) -> _Parameter:
    """Return a parameter; raise `_Unsendable` when there is no way to send it."""
    if where == "header" and name.lower() in _HEADERS_OF_THE_CALLER:
        raise _Unsendable("is written by the caller of a tool")
    if where == "header" and not HEADER_NAME.fullmatch(name):
        raise _Unsendable("has a name that a header cannot have")
    if where not in _DEFAULT_STYLES:
        raise _Unsendable("cannot be sent: only path, query and header parameters can")
    schema = node.get("schema")
    types = possible_types(schema, definitions)
    style = str(node.get("style") or _DEFAULT_STYLES[where])
    if style not in _STYLES[where]:
        raise _Unsendable(f"has the style {style[:40]!r}, which does not exist there")
    if isinstance(content := node.get("content"), Mapping) and content:
        media = next(iter(content.values()))
        inner = media.get("schema") if isinstance(media, Mapping) else None
        schema, types, style = _as_json(inner, possible_types(inner, definitions)), frozenset(), "json"
    return _Parameter(
        name=name,
        where="path" if where == "path" else "query" if where == "query" else "header",
        fields=node,
        schema=schema if isinstance(schema, Mapping) else {},
        types=types,
        style=style,
    )


def _as_json(schema: object, types: frozenset[str]) -> Mapping[str, Any]:
    """Return the schema of a value that is sent as JSON: of an object it is, and of others a text has to be."""
    if types == {"object"} and isinstance(schema, Mapping):
        return schema
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema or {}}


def _argument(parameter: _Parameter, mapped: Parameters, taken: set[str]) -> Argument:
    described = {
        name: parameter.fields[name] for name in _DESCRIBING if parameter.fields.get(name) not in (None, False)
    }
    name, schema = parameter.name, {**parameter.schema, **described}
    required = parameter.fields.get("required") is True
    if parameter.where == "path":
        name = _placed_in_path(parameter, mapped, taken)
        return Argument(name, schema, "path", required=True)
    if name in taken:
        name = next(free for free in _numbered(f"{name}_in_{parameter.where}") if free not in taken)
    renamed = {} if name == parameter.name else {"x-name": parameter.name}
    return Argument(name, schema, parameter.where, required, renamed | _style_keywords(parameter))


def _placed_in_path(parameter: _Parameter, mapped: Parameters, taken: set[str]) -> str:
    """Return the name of a path parameter, under which the path has it now."""
    written = f"{{{parameter.name}}}"
    if written not in mapped.path:
        raise _Unsendable("is not in the path")
    if parameter.style != "simple" and parameter.types & {"array", "object"}:
        raise _Unsendable(f"is a list or an object in the style {parameter.style!r}, which cannot be sent")
    if parameter.explode and "object" in parameter.types:
        raise _Unsendable("is an object whose properties are written by themselves, which cannot be sent in a path")
    name = next(free for free in _numbered(_UNSAFE_IN_PATH.sub("_", parameter.name)) if free not in taken)
    template = _PREFIXES.get(parameter.style, "{{{0}}}").format(name)
    mapped.path = mapped.path.replace(written, template)
    return name


def _style_keywords(parameter: _Parameter) -> dict[str, Any]:
    """Return our keywords for lists and objects that are written otherwise than by default."""
    if parameter.where == "header":
        if parameter.explode and "object" in parameter.types:
            raise _Unsendable(
                "is an object whose properties are written by themselves, which cannot be sent in a header"
            )
        return {}
    if parameter.style == "deepObject":
        return {"x-style": "deepObject"}
    if not parameter.types & {"array", "object"}:
        return {}
    style = {} if parameter.style == "form" else {"x-style": parameter.style}
    is_default = parameter.style == "form" and parameter.explode and "object" not in parameter.types
    return style | ({} if is_default else {"x-explode": parameter.explode})


def _complete_path(mapped: Parameters, taken: set[str], findings: Findings) -> None:
    """Add the names of the path that are no parameters; raise `Unmappable` when its braces hold no name."""
    described = {argument.name for argument in mapped.arguments if argument.position == "path"}
    for written in dict.fromkeys(_NAME_IN_PATH.findall(mapped.path)):
        if written not in described:
            name = next(free for free in _numbered(_UNSAFE_IN_PATH.sub("_", written)) if free not in taken)
            findings.changed(f"The path has the name {written!r} without a parameter; it is taken as a text.")
            mapped.path = mapped.path.replace(f"{{{written}}}", f"{{{name}}}")
            mapped.arguments.append(Argument(name, {"type": "string"}, "path", required=True))
            taken.add(name)
    if any(brace in _NAME_IN_PATH.sub("", mapped.path) for brace in "{}"):
        raise Unmappable("The path has a brace without a name.")


def _numbered(name: str) -> Iterator[str]:
    """Yield a name, and then others made of it."""
    yield name
    number = 2
    while True:
        yield f"{name}_{number}"
        number += 1
