"""Values of arguments as a path, a query and a header carry them. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from memos_mcp.tool_calling.outcomes import BadArguments

Pairs: TypeAlias = Sequence[tuple[str, str]]

_SEPARATORS: Final = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


def text_of(value: object) -> str:
    """Return a text unchanged, and anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def path_text(name: str, value: object) -> str:
    """Return a value percent-encoded for a path, as RFC 6570 expands `{name}`: lists and objects by commas.

    Raise `BadArguments` for a value that would lead to another path: an empty one, or `..` among its segments.
    """
    texts = [text_of(part) for part in _listed(value)]
    if not "".join(texts):
        raise BadArguments(f"{name} is empty, but it is a part of the path. Give it a value")
    segments = re.split(r"[/\\]", ",".join(texts))
    if ".." in segments or segments == ["."]:
        raise BadArguments(f"{name} may not be or contain the path segment '.' or '..'")
    return ",".join(quote(text, safe="") for text in texts)


def header_text(name: str, value: object) -> str:
    """Return a value as a header carries it; raise `BadArguments` if a header cannot."""
    text = ",".join(text_of(part) for part in _listed(value))
    if not (text.isascii() and text.isprintable()) or text != text.strip():
        raise BadArguments(f"{name} is sent in a header, which carries printable ASCII in one line only")
    return text


def query_pairs(name: str, value: object, keywords: Mapping[str, Any]) -> Pairs:
    """Return the pairs of a query or form for a value: none for null, one for each entry of a list, objects as JSON.

    `x-style` and `x-explode` of the property change that as `style` and `explode` of OpenAPI do.
    """
    if value is None:
        return []
    if isinstance(value, Mapping):
        return _object_pairs(name, value, keywords)
    return _list_pairs(name, value, keywords) if isinstance(value, list) else [(name, text_of(value))]


def _object_pairs(name: str, value: Mapping[str, Any], keywords: Mapping[str, Any]) -> Pairs:
    if keywords.get("x-style") == "deepObject":
        return list(_deep(name, value))
    explode = keywords.get("x-explode")
    if explode is None:
        return [(name, text_of(value))]
    if explode is False:
        return [(name, ",".join(map(text_of, _listed(value))))]
    return [pair for key, part in value.items() for pair in query_pairs(str(key), part, {})]


def _list_pairs(name: str, value: Sequence[Any], keywords: Mapping[str, Any]) -> Pairs:
    style = str(keywords.get("x-style", "form"))
    if value and not keywords.get("x-explode", style in {"form", "deepObject"}):
        return [(name, _SEPARATORS.get(style, ",").join(map(text_of, value)))]
    return [(name, text_of(entry)) for entry in value]


def query_text(pairs: Pairs) -> str:
    """Return pairs percent-encoded as a query."""
    return "&".join(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in pairs)


def _deep(name: str, value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, part in value.items():
        inner = f"{name}[{key}]"
        if isinstance(part, Mapping):
            yield from _deep(inner, part)
        else:
            yield from query_pairs(inner, part, {})


def _listed(value: object) -> list[Any]:
    """Return the entries of a list, or the keys and values of an object in order, else the value alone."""
    if isinstance(value, list):
        return value
    if isinstance(value, Mapping):
        return [part for pair in value.items() for part in pair]
    return [value]
