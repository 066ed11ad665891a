"""Checks that the requests of a tool can be built. Pure; they raise `Invalid` with what to do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.json_schema import find_reference, unresolvable_reference
from memos_mcp.domain.request_locations import (
    BODIES,
    HEADER_NAME,
    LOCATIONS,
    METHODS,
    OWN_HEADERS,
    STYLES,
    TEMPLATE,
    WITHOUT_BODY,
    location_of,
    method_of,
    named_properties,
    required_names,
    template_names,
)

_SECRET_NAME: Final = re.compile(
    r"(^|[-_.])(api[-_]?key|app[-_]?key|access[-_]?key|subscription[-_]?key|(access|auth|private|api)?[-_]?token|"
    r"(client[-_]?)?secret|password|passwd|pwd|sig|signature|credentials?|authorization|x-amz-security-token)$",
    re.IGNORECASE,
)
_KEY_NAME: Final = re.compile(r"^(key|auth|code|hash)$", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z_.-]{0,15}|[0-9]{0,5}")
"""A value that may follow `key=` without being one: `name`, `created_at`, `5`."""

_JSON_TYPE: Final = re.compile(r"[A-Za-z0-9.-]+/([A-Za-z0-9.-]+\+)?json")
_SECRET_HEADERS: Final = frozenset({"authorization", "cookie", "proxy-authorization"})

_WRAPPED: Final = '{"type": "object", "properties": {"body": ...}, "required": ["body"], "x-body-property": "body"}'


def check_request(endpoint_url: str, method: str | None, request_schema: Mapping[str, Any] | None) -> None:
    """Refuse a tool whose requests could not be built: an unknown method, template, location or body."""
    used = _checked_method(method, request_schema)
    properties = named_properties(request_schema)
    _check_templates(endpoint_url, properties, required_names(request_schema))
    if request_schema is None:
        return
    if not _is_object(request_schema, request_schema):
        raise Invalid(
            "request_schema is no object, but the arguments of a call have names. "
            f"Wrap it, and its value is then the entire body: {_WRAPPED}."
        )
    templates = template_names(endpoint_url)
    for name, definition in properties.items():
        _check_property(name, definition, templates, used)
    _check_body(request_schema, properties, templates, used)


def check_references(field: str, schema: Mapping[str, Any] | None) -> None:
    """Refuse a schema with a `$ref` that refers to nothing in it."""
    target = unresolvable_reference(schema or {})
    if target is not None:
        raise Invalid(
            f"{field} refers to {target[:200]!r}, which is not in it. Copy what it needs into $defs"
            + (", or add the whole document: memos-as tools add-openapi." if "components" in target else ".")
        )


def check_no_secret(url: str) -> None:
    """Refuse a URL with a secret among its query parameters."""
    parts = urlsplit(url)
    for name, value in parse_qsl(parts.query) + parse_qsl(parts.fragment):
        if TEMPLATE.fullmatch(value):
            continue
        if _SECRET_NAME.search(name) or (_KEY_NAME.search(name) and not _WORD.fullmatch(value)):
            raise Invalid(
                f"endpoint_url seems to hold a secret in {name[:80]!r}, and every agent is shown it. Remove it, have "
                "the operator store it (memos-as credential set NAME --host HOST --query "
                f"{name[:80]}), and give the NAME as `auth`."
            )


def _checked_method(method: str | None, schema: Mapping[str, Any] | None) -> str:
    used = method_of(method, schema)
    if used not in METHODS:
        raise Invalid(f"The method is {used[:20]!r}. Use one of {', '.join(METHODS)}.")
    written = str((schema or {}).get("x-method", used))
    if method is not None and written.upper() != method:
        raise Invalid(f"method is {method}, but x-method in request_schema is {written[:20]!r}. Remove x-method.")
    return used


def _check_templates(url: str, properties: Mapping[str, Any], required: set[str]) -> None:
    names = template_names(url)
    if set("{}") & set(TEMPLATE.sub("", url)):
        raise Invalid("endpoint_url has a brace without its pair. Write {name}, or percent-encode it: %7B, %7D.")
    parts = urlsplit(url)
    if TEMPLATE.search(parts.scheme + parts.netloc + parts.fragment):
        raise Invalid("endpoint_url has a {name} outside its path and query. Only there it can be replaced.")
    for name in names:
        if not re.fullmatch(r"[\w$-][\w.$-]*", name):
            raise Invalid(
                f"endpoint_url has {{{name[:80]}}}. Only a plain {{name}} is replaced: no operator, no pattern."
            )
        if name not in properties:
            raise Invalid(f"endpoint_url has {{{name[:80]}}}, but request_schema has no property of that name. Add it.")
        if name not in required:
            raise Invalid(
                f"endpoint_url has {{{name[:80]}}}, but the property is optional. "
                "Add it to `required` of request_schema."
            )


def _check_property(name: str, definition: Any, templates: Sequence[str], method: str) -> None:
    location = location_of(name, definition, templates, method)
    keywords = definition if isinstance(definition, Mapping) else {}
    for keyword, values in (("x-in", LOCATIONS), ("x-style", STYLES)):
        if keyword in keywords and keywords[keyword] not in values:
            raise Invalid(f"{keyword} of {name[:80]!r} is {keywords[keyword]!r:.40}. Use one of {', '.join(values)}.")
    if (location == "path" or keywords.get("x-in") == "path") and name not in templates:
        raise Invalid(f"x-in of {name[:80]!r} is path, but endpoint_url has no {{{name[:80]}}}. Add it there.")
    if keywords.get("x-in", location) != location:
        raise Invalid(f"x-in of {name[:80]!r} is {keywords['x-in']}, but endpoint_url has it in braces. Remove one.")
    if location == "body" and method in WITHOUT_BODY:
        raise Invalid(f"x-in of {name[:80]!r} is body, but a {method} has none. Use query, or another method.")
    if location == "header":
        _check_header(str(keywords.get("x-name", name)))


def _check_header(name: str) -> None:
    if not HEADER_NAME.fullmatch(name):
        raise Invalid(f"{name[:80]!r} cannot be the name of a header. Use letters, digits and hyphens.")
    if name.lower() in _SECRET_HEADERS:
        raise Invalid(
            f"The header {name} holds a secret, which no model should handle. Remove the property, have the operator "
            "store a credential (memos-as credential set), and give its name as `auth`."
        )
    if name.lower() in OWN_HEADERS:
        raise Invalid(f"The header {name} is written by the caller. Remove the property.")


def _check_body(
    schema: Mapping[str, Any], properties: Mapping[str, Any], templates: Sequence[str], method: str
) -> None:
    kind = schema.get("x-body", "json")
    if kind not in BODIES:
        raise Invalid(f"x-body is {kind!r:.40}. Use one of {', '.join(BODIES)}.")
    in_body = [name for name in properties if location_of(name, properties[name], templates, method) == "body"]
    if kind == "none" and in_body:
        raise Invalid(f"x-body is none, but {in_body[0][:80]!r} is in the body. Give it another x-in.")
    content_type = schema.get("x-content-type")
    if content_type is not None and not (kind == "json" and _JSON_TYPE.fullmatch(str(content_type))):
        raise Invalid(
            f"x-content-type is {content_type!r:.80}. Use that of a JSON body, such as application/json-patch+json."
        )
    whole = schema.get("x-body-property")
    if whole is not None and in_body != [whole]:
        raise Invalid(
            f"x-body-property is {whole!r:.80}, so exactly that property must be in the body. "
            'Give it "x-in": "body", and the others another x-in.'
        )


def _is_object(schema: Any, root: Mapping[str, Any], seen: frozenset[int] = frozenset()) -> bool:
    """Return whether objects are what a schema describes, as far as its root says."""
    if schema is True:
        return True
    if not isinstance(schema, Mapping) or id(schema) in seen:
        return False
    if (named := schema.get("type")) is not None:
        return named == "object" or (isinstance(named, list) and "object" in named)
    if "properties" in schema:
        return True
    seen |= {id(schema)}
    branches = list(_branches(schema, root))
    if branches:
        return all(_is_object(branch, root, seen) for branch in branches)
    return not {"items", "prefixItems", "enum", "const", "pattern", "minLength", "minimum", "maximum"} & set(schema)


def _branches(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Iterator[Any]:
    if "$ref" in schema:
        yield find_reference(root, schema["$ref"])
    for combiner in ("allOf", "anyOf", "oneOf"):
        if isinstance(parts := schema.get(combiner), list):
            yield from parts
