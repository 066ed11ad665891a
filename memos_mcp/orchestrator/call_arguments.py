"""Mends the arguments of a call where only one reading is possible. Pure.

Forms that endpoints and models send, each with where it was seen:

- an object instead of text (Ollama's own API, proxies), or text within text (Granite 4 on vLLM, Qwen on DashScope);
- in a fence, the same object twice, or after an empty one (Qwen on LM Studio, Mistral's stream);
- null for what is optional, and a wrapping `{"arguments": {...}}` (small models);
- numbers and lists as text (the XML form of Qwen3-Coder, and vLLM for properties behind `$ref`).
"""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any, Final

MAX_CHARS: Final = 200_000
MAX_DEPTH: Final = 12

_FENCE: Final = re.compile(r"\A```[\w-]*\s*\n?(.*?)\n?```\Z", re.DOTALL)
_WRAPPERS: Final = ("arguments", "parameters", "args", "input")
_TYPE_NAMES: Final[Mapping[type, str]] = {
    dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


def mended(written: Any, parameters: Mapping[str, Any] | None) -> str:
    """Return arguments as the JSON text of an object, or as they were written if they cannot be read in one way.

    `parameters` is the schema of the function, without references (`function_parameters`).
    """
    found = _object_in(written)
    if found is None:
        return written if isinstance(written, str) else json.dumps(written, default=str)
    schema = parameters or {}
    named = schema.get("properties", {})
    if len(found) == 1 and (wrapper := next(iter(found))) in _WRAPPERS and wrapper not in named and named:
        inner = _object_in(found[wrapper])
        found = found if inner is None or not set(inner) <= set(named) else inner
    fitted = _fitted(found, schema, 0)
    if isinstance(written, str) and _means(written, fitted):
        return written  # byte for byte what the model wrote
    return json.dumps(fitted, ensure_ascii=False)


def _means(text: str, value: Any) -> bool:
    try:
        return bool(json.loads(text) == value)
    except (ValueError, RecursionError):
        return False


def _object_in(written: Any) -> dict[str, Any] | None:
    """Return the one object that was written, or None."""
    for _ in range(3):  # text within text within text
        if isinstance(written, Mapping):
            return dict(written)
        if written is None or (isinstance(written, str) and written.strip() in {"", "null", "None"}):
            return {}
        if not isinstance(written, str) or len(written) > MAX_CHARS:
            return None
        text = written.strip()
        fence = _FENCE.match(text)
        written = _read(fence[1].strip() if fence else text)
        if written is None:
            return None
    return dict(written) if isinstance(written, Mapping) else None


def _read(text: str) -> Any:
    """Return the value of JSON, of a Python literal, or of the same object written several times; None if unreadable.

    A control character within a text is taken as that character, as llama.cpp and Mistral models write line breaks.
    """
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    several = json_values(text)
    if several:
        different: list[Any] = []
        for value in several:
            if value not in ({}, *different):
                different.append(value)
        return (different or [{}])[0] if len(different) <= 1 else None
    if text[:1] != "{":
        return None
    try:
        value = ast.literal_eval(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return value if isinstance(value, dict) and all(isinstance(name, str) for name in value) else None


def json_values(text: str) -> list[Any] | None:
    """Return the JSON values of a text that holds nothing else but separators; None for any other text.

    Closing brackets too many at the end are ignored: what is before them is complete.
    """
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    rest = text.strip()
    while rest.strip("}] \n"):
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        values.append(value)
        rest = rest[end:].lstrip(" \r\n\t,;")
    return values or None


def _fitted(value: Any, schema: Mapping[str, Any], depth: int) -> Any:
    """Return a value with its parts converted to the types of the schema, where exactly one type is possible."""
    types = _types(schema)
    if types and not _fits(value, types):
        value = _converted(value, types)
    if depth >= MAX_DEPTH:
        return value
    if isinstance(value, dict) and isinstance(named := schema.get("properties"), Mapping):
        required = schema.get("required", ())
        return {
            name: _fitted(part, named.get(name, {}), depth + 1)
            for name, part in value.items()
            if not _is_absent(part, named.get(name), optional=name not in required)
        }
    if isinstance(value, list):
        return [_fitted(part, schema.get("items", {}), depth + 1) for part in value]
    return value


def _is_absent(part: Any, schema: Mapping[str, Any] | None, *, optional: bool) -> bool:
    """Return whether a property was meant to be left out: null, or no text for what is no text."""
    if schema is None or not optional:
        return False
    types = _types(schema)
    if part is None:
        return "null" not in types if types else "enum" in schema and None not in schema["enum"]
    return part == "" and bool(types) and "string" not in types and "null" not in types


def _converted(value: Any, types: list[str]) -> Any:
    """Return the only value of one of the types that a text can mean, or the value unchanged."""
    if isinstance(value, float) and value.is_integer() and "integer" in types:
        return int(value)
    if not isinstance(value, str):
        return value
    if value.strip().lower() in {"true", "false"} and "boolean" in types:
        return value.strip().lower() == "true"
    read = _read(value.strip()) if value.strip() else None
    return read if read is not None and _fits(read, types) else value


def _fits(value: Any, types: list[str]) -> bool:
    name = _TYPE_NAMES.get(type(value), "")
    return name in types or (name == "integer" and "number" in types)


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the types that a schema accepts; none if it names none, or an alternative without one."""
    if "type" in schema:
        return list(schema["type"]) if isinstance(schema["type"], list) else [schema["type"]]
    members = [_types(member) for member in schema.get("anyOf", ())]
    return [one for member in members for one in member] if all(members) else []
