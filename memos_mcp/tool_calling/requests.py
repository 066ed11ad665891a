"""The HTTP request of a call, made of a tool and its arguments. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from memos_mcp.domain.request_locations import (
    HEADER_NAME,
    METHODS,
    OWN_HEADERS,
    TEMPLATE,
    WITHOUT_BODY,
    location_of,
    method_of,
    named_properties,
    template_names,
)
from memos_mcp.tool_calling.bodies import Body, form_body, json_body, multipart_body
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.one_way import without_read_only
from memos_mcp.tool_calling.outcomes import BadArguments, CallFailed
from memos_mcp.tool_calling.wire_values import header_text, path_text, query_pairs, query_text

MAX_URL_CHARS: Final = 60_000
"""More than any server is known to accept, and less than the client's own limit."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request without what the connection adds. `unsent` names arguments that are no part of it."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None = None
    unsent: Sequence[str] = ()

    @property
    def safe(self) -> bool:
        """Whether the method changes nothing."""
        return self.method in WITHOUT_BODY

    @property
    def repeatable(self) -> bool:
        """Whether it may be sent twice: it changes nothing, or has a key by which the tool knows it again."""
        return self.safe or any(name.lower() == "idempotency-key" for name in self.headers)


def request_of(tool: CalledTool, arguments: Mapping[str, Any]) -> HttpRequest:
    """Return the request of a call; raise `BadArguments` if none can be made of these arguments.

    The arguments have been checked against the request_schema.
    """
    schema = tool.request_schema or {}
    method = method_of(tool.method, schema)
    if method not in METHODS:
        raise CallFailed(f"Its method {method[:20]} is not supported")
    properties = named_properties(schema)
    given = _by_location(tool.endpoint_url, method, properties, arguments)
    body, unsent = _body(tool, properties, method, given["body"])
    headers = _headers(given["header"], properties)
    if body is not None:
        headers["Content-Type"] = str(schema.get("x-content-type", body[1]))
    url = _with_query(_expanded(tool.endpoint_url, given["path"]), given["query"], properties)
    if len(url) > MAX_URL_CHARS:
        raise BadArguments(f"The URL would have {len(url):,} characters; the limit is {MAX_URL_CHARS:,}. Shorten them")
    return HttpRequest(method, url, headers, None if body is None else body[0], unsent)


def _by_location(
    url: str, method: str, properties: Mapping[str, Any], arguments: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the arguments by their location in the request."""
    templates = template_names(url)
    given: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "body": {}}
    for name, value in arguments.items():
        location = location_of(name, properties.get(name), templates, method)
        if location not in given or (location == "path" and name not in templates):
            raise CallFailed(f"Its request_schema sends {name[:80]!r} in {location[:20]!r}, which is not supported")
        given[location][name] = value
    missing = [name for name in templates if name not in given["path"]]
    if missing:
        raise BadArguments(f"{missing[0]} is missing, but it is a part of the path. Give it a value")
    return given


def _expanded(url: str, values: Mapping[str, Any]) -> str:
    """Replace each `{name}` by its value. No value of a path can change the host: only path and query are expanded."""
    parts = urlsplit(url)
    path, query = (
        TEMPLATE.sub(lambda found: path_text(found[1], values[found[1]]), text) for text in (parts.path, parts.query)
    )
    return parts._replace(path=path, query=query, fragment="").geturl()


def _with_query(url: str, given: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    pairs = [
        pair
        for name, value in given.items()
        for pair in query_pairs(_sent_name(name, properties), value, _keywords(properties.get(name)))
    ]
    if not pairs:
        return url
    parts = urlsplit(url)
    return parts._replace(query="&".join(filter(None, [parts.query, query_text(pairs)]))).geturl()


def _body(
    tool: CalledTool, properties: Mapping[str, Any], method: str, given: Mapping[str, Any]
) -> tuple[Body | None, Sequence[str]]:
    """Return the body, None without one, and the paths of `readOnly` properties that it does not have."""
    schema = tool.request_schema or {}
    kind, whole = schema.get("x-body", "json"), schema.get("x-body-property")
    if given and (method in WITHOUT_BODY or kind == "none"):
        raise BadArguments(f"It has no body, in which this would be sent: {next(iter(given))[:80]!r}")
    kept, unsent = without_read_only(given, schema)
    if whole is not None:
        if not isinstance(whole, str):
            raise CallFailed("Its x-body-property is not the name of a property")
        fields = named_properties(properties.get(whole), schema)
        return (_encoded(kind, kept[whole], fields) if whole in kept else None), unsent
    if not kept and not _has_empty_body(tool, properties, method):
        return None, unsent
    value = {_sent_name(name, properties): part for name, part in kept.items()}
    return _encoded(kind, value, {_sent_name(name, properties): properties[name] for name in properties}), unsent


def _encoded(kind: str, value: Any, fields: Mapping[str, Any]) -> Body:
    if kind == "form":
        return form_body(value, fields)
    if kind == "multipart":
        return multipart_body(value, fields)
    if kind == "json":
        return json_body(value)
    raise CallFailed(f"Its x-body {kind!r:.20} is not supported")


def _has_empty_body(tool: CalledTool, properties: Mapping[str, Any], method: str) -> bool:
    """Return whether a body is sent although nothing is in it: unless all that is declared is sent elsewhere."""
    if method in WITHOUT_BODY or method == "DELETE" or (tool.request_schema or {}).get("x-body") == "none":
        return False
    templates = template_names(tool.endpoint_url)
    locations = {location_of(name, definition, templates, method) for name, definition in properties.items()}
    return not locations or "body" in locations


def _headers(given: Mapping[str, Any], properties: Mapping[str, Any]) -> dict[str, str]:
    headers = {
        _sent_name(name, properties): header_text(name, value) for name, value in given.items() if value is not None
    }
    for name in headers:
        if not HEADER_NAME.fullmatch(name) or name.lower() in OWN_HEADERS:
            raise CallFailed(f"Its request_schema sets the header {name[:80]!r}, which is not supported")
    return headers


def _sent_name(name: str, properties: Mapping[str, Any]) -> str:
    return str(_keywords(properties.get(name)).get("x-name", name))


def _keywords(definition: object) -> Mapping[str, Any]:
    return definition if isinstance(definition, Mapping) else {}
