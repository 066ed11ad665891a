"""Bodies of requests: JSON, form or multipart. Pure."""

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

import httpx2

from memos_mcp.tool_calling.outcomes import BadArguments
from memos_mcp.tool_calling.wire_values import query_pairs, text_of

Body: TypeAlias = tuple[bytes, str]
"""A body and its content type."""
Part: TypeAlias = tuple[str, tuple[str | None, bytes, str | None]]


def json_body(value: object) -> Body:
    """Return a value as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"


def form_body(value: object, properties: Mapping[str, Any]) -> Body:
    """Return an object as an HTML form sends it: lists repeated, objects as JSON, null left out."""
    pairs = [
        pair
        for name, part in _fields(value).items()
        for pair in query_pairs(name, part, _keywords(properties.get(name)))
    ]
    return urlencode(pairs).encode(), "application/x-www-form-urlencoded"


def multipart_body(value: object, properties: Mapping[str, Any]) -> Body:
    """Return an object as parts; a property of `format: binary` is sent as a file with the name of the property."""
    parts = [
        part for name, entry in _fields(value).items() for part in _parts(name, entry, _keywords(properties.get(name)))
    ]
    if not parts:
        raise BadArguments("Its body has no parts. Give one of its properties at least")
    request = httpx2.Request("POST", "http://body.invalid/", files=[(name, part) for name, part in parts])
    return request.read(), request.headers["content-type"]


def _parts(name: str, value: object, keywords: Mapping[str, Any]) -> Iterator[Part]:
    if value is None:
        return
    if isinstance(value, list):
        items = _keywords(keywords.get("items"))
        for entry in value:
            yield from _parts(name, entry, items)
    elif keywords.get("format") == "binary" or "contentEncoding" in keywords:
        yield name, (name, _file(name, text_of(value), keywords), "application/octet-stream")
    else:
        yield name, (None, text_of(value).encode(), "application/json" if isinstance(value, Mapping) else None)


def _file(name: str, text: str, keywords: Mapping[str, Any]) -> bytes:
    if keywords.get("contentEncoding") != "base64":
        return text.encode()
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise BadArguments(f"{name} is not base64, as its contentEncoding says that it is") from None


def _fields(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadArguments("Its body is sent as a form, which only an object can be")
    return value


def _keywords(definition: object) -> Mapping[str, Any]:
    return definition if isinstance(definition, Mapping) else {}
