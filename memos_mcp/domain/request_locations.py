"""The parts of a tool's request and their locations: the rules that registration and calls share. Pure.

Keywords of a property: `x-in` (path, query, header, body), `x-name` (its name in the request, if it differs), and of
query parameters `x-style` and `x-explode`, as `style` and `explode` of OpenAPI. Keywords of the root: `x-method`,
`x-body` (json, form, multipart, none), `x-body-property` (the property whose value is the entire body) and
`x-content-type` (that of a JSON body, such as application/json-patch+json).
"""

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias, get_args

from memos_mcp.domain.json_schema import find_reference

Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

METHODS: Final[tuple[Method, ...]] = get_args(Method)
LOCATIONS: Final = ("path", "query", "header", "body")
BODIES: Final = ("json", "form", "multipart", "none")
STYLES: Final = ("form", "spaceDelimited", "pipeDelimited", "deepObject")

DEFAULT_METHOD: Final = "POST"
WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_QUERY_BY_DEFAULT: Final = frozenset({"GET", "HEAD", "DELETE"})

TEMPLATE: Final = re.compile(r"\{([^{}]*)\}")
"""A name in braces, which the value of that property replaces (RFC 6570, simple expansion)."""

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
OWN_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that describe the message or the connection: the caller writes them."""


def method_of(method: str | None, schema: Mapping[str, Any] | None) -> str:
    """Return the method of a request: `x-method` counts if the method is the default. It may be unsupported."""
    named = (method or DEFAULT_METHOD).upper()
    return str((schema or {}).get("x-method", named)).upper() if named == DEFAULT_METHOD else named


def template_names(url: str) -> list[str]:
    """Return the names in braces of a URL."""
    return TEMPLATE.findall(url)


def location_of(name: str, definition: Any, templates: Collection[str], method: str) -> str:
    """Return the location of a property in the request. It is a value of `x-in`, which may be unsupported."""
    if name in templates:
        return "path"
    written = definition.get("x-in") if isinstance(definition, Mapping) else None
    return str(written) if written is not None else ("query" if method in _QUERY_BY_DEFAULT else "body")


def named_properties(schema: Mapping[str, Any] | None, root: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the properties of a schema, also of what it refers to or combines. References are those of `root`."""
    found: dict[str, Any] = {}
    for part in _combined(schema or {}, root, ("allOf", "anyOf", "oneOf")):
        if isinstance(named := part.get("properties"), Mapping):
            found = {**named, **found}
    return found


def required_names(schema: Mapping[str, Any] | None) -> set[str]:
    """Return the names that every value of a schema must have."""
    lists = (part.get("required") for part in _combined(schema or {}, None, ("allOf",)))
    return {str(name) for names in lists if isinstance(names, list) for name in names}


def _combined(
    schema: Mapping[str, Any], root: Mapping[str, Any] | None, combiners: Collection[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield a schema, and what it refers to or combines, each once."""
    pending: list[Any] = [schema]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if not isinstance(part, Mapping) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        pending.append(find_reference(root or schema, part.get("$ref")))
        for combiner in combiners:
            branches = part.get(combiner)
            pending.extend(branches if isinstance(branches, list) else ())
