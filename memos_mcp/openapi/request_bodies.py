"""Maps the body of a request to arguments of a tool: its properties, or one argument for the entire body."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from memos_mcp.domain.request_locations import Method
from memos_mcp.openapi.arguments import Argument, Body, BodyFormat
from memos_mcp.openapi.findings import Findings, Unmappable
from memos_mcp.openapi.references import Definitions, Unresolvable, shown
from memos_mcp.openapi.shapes import object_shape

_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_STYLES: Final = ("spaceDelimited", "pipeDelimited", "deepObject")
_FORMATS: Final[Mapping[str, BodyFormat]] = {
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "multipart",
}
_NAMES_OF_WHOLE: Final = ("body", "request_body", "payload", "content")
SHOWN_TYPES: Final = 3


def body_of(
    method: Method,
    operation: Mapping[str, Any],
    parameters: frozenset[str],
    definitions: Definitions,
    findings: Findings,
) -> Body:
    """Return the body of an operation; raise `Unmappable` when it needs one that cannot be sent.

    parameters: the names that its parameters have.
    """
    if operation.get("requestBody") is None:
        return Body()
    try:
        described = definitions.follow(operation["requestBody"])
    except Unresolvable as error:
        reference = shown(str(operation["requestBody"].get("$ref")))
        raise Unmappable(f"Its body refers to {reference}, which {error}.") from None
    content = described.get("content") if isinstance(described, Mapping) else None
    if not isinstance(content, Mapping) or not content:
        raise Unmappable("Its body has no content type.")
    required = described.get("required") is True
    if method in _WITHOUT_BODY:
        if required:
            raise Unmappable(f"Its body is required, and {method} is sent without one.")
        findings.changed(f"Its body is left out: {method} is sent without one.")
        return Body()
    chosen = _chosen(content)
    if chosen is None:
        types = ", ".join(list(content)[:SHOWN_TYPES])
        if required or method in _BODY_METHODS:
            raise Unmappable(f"Its body is {types}; only JSON, forms and multipart can be sent.")
        findings.changed(f"Its body, which is optional, is {types} and is left out.")
        return Body()
    media = content[chosen[0]]
    kind = _Kind(*chosen, required, media if isinstance(media, Mapping) else {})
    return _mapped(method, described, kind, parameters, definitions)


@dataclass(frozen=True, slots=True)
class _Kind:
    """The content type to send, with its format and what the description says of it."""

    media_type: str
    format: BodyFormat
    required: bool
    media: Mapping[str, Any]

    @property
    def content_type(self) -> str | None:
        """The content type, where it is another one than that of the format."""
        bare = self.media_type.split(";")[0].strip().lower()
        return bare if self.format == "json" and bare != "application/json" and "*" not in bare else None

    def keywords(self, name: str) -> dict[str, Any]:
        """Return our keywords for a property of a form that is written otherwise than by default."""
        encodings = self.media.get("encoding")
        encoding = encodings.get(name) if isinstance(encodings, Mapping) and self.format == "form" else None
        if not isinstance(encoding, Mapping):
            return {}
        style, explode = encoding.get("style"), encoding.get("explode")
        found = {"x-style": style} if style in _STYLES else {}
        return found | ({"x-explode": explode} if isinstance(explode, bool) and style != "deepObject" else {})


def _chosen(content: Mapping[str, Any]) -> tuple[str, BodyFormat] | None:
    """Return the content type to send, and its format: JSON before forms, forms before multipart."""
    bare = {name: name.split(";")[0].strip().lower() for name in content}
    for name, type_ in bare.items():
        if type_ == "application/json":
            return name, "json"
    for name, type_ in bare.items():
        if type_.endswith(("+json", "/json")) or type_ in {"*/*", "application/*"}:
            return name, "json"
    for wanted, written in _FORMATS.items():
        for name, type_ in bare.items():
            if type_ == wanted:
                return name, written
    return None


def _mapped(
    method: Method,
    described: Mapping[str, Any],
    kind: _Kind,
    parameters: frozenset[str],
    definitions: Definitions,
) -> Body:
    """Return the properties of the body as arguments, or the entire body as one where they would not say the same."""
    schema = kind.media.get("schema", {})
    shape = object_shape(schema, definitions)
    is_optional = not kind.required and method not in _BODY_METHODS and bool(shape and shape.required)
    is_open = shape is not None and shape.additional not in (None, True, False) and method not in _BODY_METHODS
    if shape is None or is_optional or is_open or parameters & shape.properties.keys():
        return _whole(described, schema, kind, parameters)
    arguments = [
        Argument(name, child if isinstance(child, Mapping) else {}, "body", name in shape.required, kind.keywords(name))
        for name, child in shape.properties.items()
    ]
    return Body(arguments, kind.format, kind.content_type, additional=shape.additional)


def _whole(described: Mapping[str, Any], schema: Any, kind: _Kind, parameters: frozenset[str]) -> Body:
    name = next((name for name in _NAMES_OF_WHOLE if name not in parameters), None)
    if name is None:
        raise Unmappable("Its body has no name that is free among its parameters.")
    described_as = described.get("description")
    beside = {"description": described_as} if isinstance(described_as, str) and described_as.strip() else {}
    value = {**schema, **beside} if isinstance(schema, Mapping) else beside
    return Body([Argument(name, value, "body", kind.required)], kind.format, kind.content_type, whole=name)
