"""Makes arguments that a schema permits: the required ones only, or all of them down to some depth."""

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis.errors import HypothesisException, InvalidArgument
from hypothesis.strategies import characters, from_regex
from jsonschema import Draft202012Validator

from memos_mcp.domain.json_schema import find_reference

MAX_DEPTH: Final = 4
SEARCH: Final = settings(
    max_examples=50, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
"""A match of a regular expression; the first will do."""

FORMATS: Final = {
    "date": "2026-05-01",
    "date-time": "2026-05-01T12:00:00Z",
    "time": "12:00:00Z",
    "uuid": "0190f1a2-7c9c-7f3e-8a55-5d3f6c1e2b4a",
    "email": "ada@example.com",
    "uri": "https://example.com/a",
    "url": "https://example.com/a",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "aGVsbG8=",
}


def sample_arguments(schema: Mapping[str, Any], *, full: bool) -> dict[str, Any]:
    """Return an object that the schema permits, as far as one is found."""
    value = _Sampler(schema, full=full).value(schema, 0)
    assert isinstance(value, dict)
    return value


class _Sampler:
    def __init__(self, root: Mapping[str, Any], *, full: bool) -> None:
        self._root = root
        self._full = full

    def value(self, schema: Any, depth: int) -> Any:
        schema = self._merged(schema)
        for found in self._given(schema):
            if self._permits(schema, found):
                return found
        for combiner in ("oneOf", "anyOf"):
            if isinstance(branches := schema.get(combiner), list):
                rest = {keyword: part for keyword, part in schema.items() if keyword != combiner}
                values = (self.value({"allOf": [rest, branch]}, depth + 1) for branch in branches)
                return next((found for found in values if self._permits(schema, found)), None)
        return self._of_type(schema, depth)

    def _given(self, schema: Mapping[str, Any]) -> list[Any]:
        examples = schema.get("examples")
        return [
            *([schema["const"]] if "const" in schema else []),
            *(schema["enum"] if isinstance(schema.get("enum"), list) else []),
            *([schema["default"]] if schema.get("default") is not None and depthless(schema) else []),
            *([schema["example"]] if schema.get("example") is not None and depthless(schema) else []),
            *(examples if isinstance(examples, list) and depthless(schema) else []),
        ]

    def _permits(self, schema: Mapping[str, Any], value: Any) -> bool:
        definitions = {"$defs": self._root["$defs"]} if "$defs" in self._root else {}
        return Draft202012Validator({**schema, **definitions}).is_valid(value)

    def _merged(self, schema: Any) -> dict[str, Any]:
        """Return a schema with its references followed and the parts of `allOf` added up."""
        merged: dict[str, Any] = {}
        pending, seen = [schema], 0
        while pending and seen < 100:
            part = pending.pop(0)
            seen += 1
            if not isinstance(part, Mapping):
                continue
            if "$ref" in part:
                pending.append(find_reference(self._root, part["$ref"]))
            pending.extend(part.get("allOf", []))
            for keyword, child in part.items():
                if keyword == "properties":
                    merged[keyword] = {**merged.get(keyword, {}), **child}
                elif keyword == "required":
                    merged[keyword] = [*merged.get(keyword, []), *child]
                elif keyword not in {"$ref", "allOf", "$defs"}:
                    merged.setdefault(keyword, child)
        return merged

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        named = schema.get("type")
        types = named if isinstance(named, list) else [named]
        type_ = next((name for name in types if name != "null"), types[0])
        if type_ == "object" or (type_ is None and "properties" in schema):
            return self._object(schema, depth)
        if type_ == "array":
            few = schema.get("minItems", 1 if depth <= MAX_DEPTH else 0)
            return [self.value(schema.get("items", {}), depth + 1) for _ in range(few)]
        if type_ in {"integer", "number"}:
            return _number(schema, whole=type_ == "integer")
        return {"boolean": True, "null": None}[type_] if type_ in {"boolean", "null"} else _text(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        wanted = [
            name
            for name, child in properties.items()
            if not (isinstance(child, Mapping) and child.get("readOnly") is True)
            and (name in required or (self._full and depth < MAX_DEPTH))
        ]
        wanted += [name for name in required if name not in properties]
        few = schema.get("minProperties", 0) - len(wanted)
        wanted += [name for name in properties if name not in wanted][: max(few, 0)]
        return {name: self.value(properties.get(name, {}), depth + 1) for name in wanted}


def depthless(schema: Mapping[str, Any]) -> bool:
    """Whether an example of a schema is a plain value: those of objects are often of other objects."""
    return schema.get("type") not in {"object", "array"}


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    step = schema.get("multipleOf", 1)
    bounds = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    low = next((schema[bound] for bound in bounds if bound in schema), 1)
    for candidate in (low, low + step, low - step, low + step / 2):
        if Draft202012Validator(dict(schema)).is_valid(candidate):
            return int(candidate) if whole else candidate
    return int(low) if whole else float(low)


def _text(schema: Mapping[str, Any]) -> str:
    if isinstance(pattern := schema.get("pattern"), str):
        return _matching(pattern, schema.get("minLength", 0), schema.get("maxLength"))
    text: str = FORMATS.get(str(schema.get("format")), "text")
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    return text.ljust(shortest, "x")[:longest]


@cache
def _matching(pattern: str, shortest: int, longest: int | None) -> str:
    def fits(text: str) -> bool:
        return len(text) >= shortest and (longest is None or len(text) <= longest)

    found = from_regex(pattern, alphabet=characters(codec="ascii", categories=["L", "N", "P", "Zs"]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return find(found, fits, settings=SEARCH)
        except (HypothesisException, InvalidArgument):
            return "text"
