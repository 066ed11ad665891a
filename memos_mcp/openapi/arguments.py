"""The arguments of a tool, and the request schema that is made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from memos_mcp.domain.request_locations import Method
from memos_mcp.openapi.findings import Findings
from memos_mcp.openapi.references import Definitions
from memos_mcp.openapi.schemas import self_contained
from memos_mcp.openapi.valid_schemas import without_unusable_patterns

Position: TypeAlias = Literal["path", "query", "header", "body"]
BodyFormat: TypeAlias = Literal["json", "form", "multipart"]

_QUERY_METHODS: Final = frozenset({"GET", "HEAD", "DELETE"})


@dataclass(frozen=True, slots=True)
class Argument:
    """A named value of a call, and which part of the request carries it. `keywords` of ours say how it is written."""

    name: str
    schema: Mapping[str, Any]
    position: Position
    required: bool = False
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Body:
    """The body of a request. `whole`: the argument whose value is the entire body; `additional`: other properties."""

    arguments: Sequence[Argument] = ()
    format: BodyFormat = "json"
    content_type: str | None = None
    whole: str | None = None
    additional: Any = None


def request_schema(
    method: Method, parameters: Sequence[Argument], body: Body, definitions: Definitions, findings: Findings
) -> dict[str, Any]:
    """Return the schema of the arguments, self-contained, with our keywords where a default would not do."""
    arguments = [*parameters, *body.arguments]
    raw: dict[str, Any] = {"type": "object", "properties": {argument.name: argument.schema for argument in arguments}}
    if required := [argument.name for argument in arguments if argument.required]:
        raw["required"] = required
    if body.additional is not None:
        raw["additionalProperties"] = body.additional
    written = self_contained(raw, definitions, findings)
    for argument in arguments:
        _write_position(written["properties"], argument, method)
    if not body.arguments and method not in _QUERY_METHODS:
        written["x-body"] = "none"
    elif body.arguments and body.format != "json":
        written["x-body"] = body.format
    if body.whole is not None:
        written["x-body-property"] = body.whole
    if body.content_type is not None:
        written["x-content-type"] = body.content_type
    return without_unusable_patterns(written, findings)


def _write_position(properties: dict[str, Any], argument: Argument, method: Method) -> None:
    """Write which part of the request carries an argument, unless that is the default of its method."""
    schema = properties[argument.name]
    if not isinstance(schema, dict):  # true and false are schemas, too
        schema = {} if schema is not False else {"not": {}}
    if argument.position != "body":  # a parameter may have the schema of a property that is read only in answers
        schema = {keyword: child for keyword, child in schema.items() if keyword not in {"readOnly", "writeOnly"}}
    default = "query" if method in _QUERY_METHODS else "body"
    elsewhere = {} if argument.position in {"path", default} else {"x-in": argument.position}
    properties[argument.name] = {**schema, **elsewhere, **argument.keywords}
