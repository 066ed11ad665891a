"""The shape of JSON that holds records rather than settings. A text that was cut off is read as far as it reaches."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from memos_mcp.ingest.data.data_shape import DataShape, Records, type_of

_MIN_ROWS: Final = 5
_MIN_NESTED_ROWS: Final = 10
_MIN_VALUES: Final = 20
_MIN_TEXTS: Final = 50
"""The lengths of a list, of a list or an object within an object, of a list of values, and of a catalogue of texts."""

_MIN_COMMON_KEYS: Final = 2
"""What the entries of an object have in common: many settings have one key only, such as `enabled`."""

_MAX_TYPES: Final = 2
_MIN_SHARE: Final = 0.6
"""The share of the text of an object that its records take."""

_MANY_CHARS: Final = 128 * 1024
"""Nobody writes so long a file of settings."""

CONFIGURATION_KEYS: Final = frozenset(
    (
        *("openapi", "swagger", "asyncapi", "$schema", "$defs", "definitions", "properties", "apiVersion"),
        *("AWSTemplateFormatVersion", "compilerOptions", "dependencies", "devDependencies", "scripts", "services"),
    )
)
"""Top-level keys of OpenAPI, AsyncAPI, JSON Schema, Kubernetes, CloudFormation, TypeScript, npm and Compose files."""

_MAX_DEPTH: Final = 4
_MAX_LEAVES: Final = 20_000
_DECODER: Final = json.JSONDecoder()


def json_shape(text: str, *, is_cut: bool) -> DataShape | None:
    """Return the shape of records, or None for settings and for what is not JSON."""
    try:
        value, end = _decode(text, _skip(text, 0), 0 if is_cut else _MAX_DEPTH)
        is_data = not text[end:].strip() and not is_configuration(value)
        found = list(_tables(value)) if is_data else []
    except (ValueError, RecursionError):
        return None
    if is_data and not found and len(text) > _MANY_CHARS and isinstance(value, dict):
        records = Records()
        records.add(value.items(), "")
        found = [replace(records, count=len(value), examples=[])]
    return DataShape("JSON", [records.table() for records in found]) if found else None


def is_configuration(value: object) -> bool:
    """Whether an object has a key that marks settings, a schema or the description of an interface."""
    return isinstance(value, dict) and not CONFIGURATION_KEYS.isdisjoint(value)


def _tables(value: object) -> Iterator[Records]:
    if isinstance(value, list):
        records = _rows("", value, _MIN_ROWS)
    elif isinstance(value, dict):
        records = _entries("", value, _MIN_NESTED_ROWS) or _texts(value)
    else:
        return
    if records is not None:
        yield records
    elif isinstance(value, dict):
        inner = {key: _inner(str(key), one) for key, one in value.items()}
        lengths = [len(json.dumps(value[key], ensure_ascii=False)) for key, records in inner.items() if records]
        if sum(lengths) >= _MIN_SHARE * len(json.dumps(value, ensure_ascii=False)):
            yield from (records for records in inner.values() if records)


def _inner(name: str, value: object) -> Records | None:
    if isinstance(value, list):
        return _rows(name, value, _MIN_NESTED_ROWS)
    return _entries(name, value, _MIN_NESTED_ROWS) if isinstance(value, dict) else None


def _rows(name: str, values: Sequence[object], minimum: int) -> Records | None:
    """Return a list as records, when they have the same keys, or are values of the same type."""
    objects = [value for value in values if isinstance(value, dict)]
    if not objects:
        if len(values) < _MIN_VALUES or len({type_of(value) for value in values[:_MIN_VALUES]}) > _MAX_TYPES:
            return None
        return _collected(Records(name), ([("value", value)] for value in values), values)
    if len(objects) < minimum or 2 * len(objects) < len(values):
        return None
    return _collected(Records(name), map(_flat, objects), objects) if _keys(objects).is_uniform() else None


def _entries(name: str, value: Mapping[str, object], minimum: int) -> Records | None:
    """Return an object as records, when its values are objects of the same keys."""
    objects = [one for one in value.values() if isinstance(one, dict)]
    if len(objects) < minimum or len(objects) < 0.9 * len(value):
        return None
    if not _keys(objects).is_uniform(_MIN_COMMON_KEYS):
        return None
    named = [{key: one} for key, one in value.items() if isinstance(one, dict)]
    return _collected(Records(name), map(_flat, objects), named)


def _texts(value: Mapping[str, object]) -> Records | None:
    """Return an object as records of texts, when nearly all that is nested in it are texts: a catalogue of messages."""
    leaves = list(islice(_leaves(value, ""), _MAX_LEAVES))
    texts = [(key, text) for key, text in leaves if isinstance(text, str)]
    names = {key.rpartition(".")[2] for key, _ in texts}  # in settings and schemas the same ones come again and again
    if len(texts) < _MIN_TEXTS or len(texts) < 0.95 * len(leaves) or 2 * len(names) < len(texts):
        return None
    return _collected(Records(unit="texts"), ([] for _ in texts), [{key: text} for key, text in texts])


def _collected(records: Records, fields: Iterator[Any], values: Sequence[object]) -> Records:
    for one, value in zip(fields, values, strict=True):
        records.add(one, "" if records.has_examples else json.dumps(value, ensure_ascii=False))
    return records


def _keys(objects: Sequence[Mapping[str, object]]) -> Records:
    records = Records()
    for one in objects:
        records.add(one.items(), "")
    return records


def _flat(value: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the fields of an object, and those of objects in it by names such as `fields.name`."""
    for key, one in value.items():
        if isinstance(one, dict) and one:
            yield from ((f"{key}.{inner}", nested) for inner, nested in one.items())
        else:
            yield key, one


def _leaves(value: object, name: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict):
        yield name, value
        return
    for key, one in value.items():
        yield from _leaves(one, f"{name}.{key}" if name else str(key))


def _decode(text: str, start: int, depth: int) -> tuple[Any, int]:
    """Return the value that begins at a position, as far as the text reaches, and its end."""
    try:
        return _DECODER.raw_decode(text, start)
    except ValueError:
        if depth == _MAX_DEPTH or text[start : start + 1] not in {"[", "{"}:
            raise
    return _cut_list(text, start + 1, depth) if text[start] == "[" else _cut_object(text, start + 1, depth)


def _cut_list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    values: list[Any] = []
    while at < len(text):
        try:
            value, at = _decode(text, _skip(text, at), depth + 1)
        except ValueError:
            break
        values.append(value)
        at = _skip(text, at, ",")
    if not values:
        raise ValueError("no value is complete")
    return values, len(text)


def _cut_object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    while at < len(text):
        try:
            key, at = _DECODER.raw_decode(text, _skip(text, at))
            values[str(key)], at = _decode(text, _skip(text, at, ":"), depth + 1)
        except ValueError:
            break
        at = _skip(text, at, ",")
    if not values:
        raise ValueError("no value is complete")
    return values, len(text)


def _skip(text: str, at: int, separator: str = "") -> int:
    """Return the position after white space and at most one separator."""
    while at < len(text) and (text[at].isspace() or text[at] == separator):
        at += 1
    return at
