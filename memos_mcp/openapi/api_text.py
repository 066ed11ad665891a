"""Reads the text of an OpenAPI description, JSON or YAML, as values that JSON can carry and Postgres can store."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import MAX_INTEGER
from memos_mcp.openapi.findings import Findings

MAX_DEPTH: Final = 100
MAX_VALUES: Final = 4_000_000
"""The description of GitHub, one of the largest, has 0.6 million values."""

SHOWN_CHARS: Final = 80

_MERGE: Final = "tag:yaml.org,2002:merge"
_FAST_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FAST_LOADER):  # type: ignore[misc,valid-type]  # the library has no types
    """YAML 1.2 as OpenAPI wants it: `no` and `on` are texts, dates are texts, and keys are texts."""

    yaml_implicit_resolvers: Final[dict[str, Any]] = {}
    repeated: list[str]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - its interface
        self.repeated += _repeated(_key(key) for key, _ in node.value if key.tag != _MERGE)
        self.flatten_mapping(node)
        return {_key(key): self.construct_object(value, deep=deep) for key, value in node.value}


def _key(node: Any) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.constructor.ConstructorError(problem="a key is no text", problem_mark=node.start_mark)
    return str(node.value)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(loader.construct_scalar(node)))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


def parse_api(data: bytes, name: str, findings: Findings) -> Any:
    """Return the value of JSON or YAML; raise `Invalid` when it is neither, or expands without limit.

    What JSON or Postgres cannot hold is replaced, and reported: integers beyond 64 bits, NaN, NUL, unpaired surrogates.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid(f"{name} is not UTF-8. Save it in UTF-8.") from None
    try:
        value, repeated = _from_json(text, name) if text.lstrip()[:1] == "{" else _from_yaml(text, name)
    except (RecursionError, ValueError):  # also a number of thousands of digits
        raise Invalid(f"{name} cannot be read: it is nested too deep, or has a number of too many digits.") from None
    for key in dict.fromkeys(repeated):
        findings.changed(f"The name {key[:SHOWN_CHARS]!r} occurs twice in one object of {name}; the last one counts.")
    return _Storable(name, findings).value(value, 0)


def _from_json(text: str, name: str) -> tuple[Any, list[str]]:
    repeated = list[str]()

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            repeated.extend(_repeated(key for key, _ in pairs))
        return made

    try:
        return json.loads(text, object_pairs_hook=to_object), repeated
    except json.JSONDecodeError as error:
        raise Invalid(f"{name} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from None


def _from_yaml(text: str, name: str) -> tuple[Any, list[str]]:
    try:
        _check_depth(text, name)
        loader = _Loader(text)
        loader.repeated = []
        try:
            return loader.get_single_data(), loader.repeated
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = "" if mark is None else f" (line {mark.line + 1}, column {mark.column + 1})"
        raise Invalid(f"{name} is neither JSON nor YAML: {problem or 'it cannot be parsed'}{where}.") from None


def _check_depth(text: str, name: str) -> None:
    """Refuse what is nested too deep before it is composed, which recurses in C."""
    depth = 0
    for event in yaml.parse(text, Loader=_FAST_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _too_deep(name)


def _repeated(keys: Iterable[str]) -> list[str]:
    return [key for key, count in Counter(keys).items() if count > 1]


def _too_deep(name: str) -> Invalid:
    return Invalid(f"{name} is nested more than {MAX_DEPTH} levels deep.")


class _Storable:
    """Copies values so that each can be stored; aliases of YAML become copies, up to a limit."""

    def __init__(self, name: str, findings: Findings) -> None:
        self._name = name
        self._findings = findings
        self._count = 0

    def value(self, value: Any, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise Invalid(f"{self._name} has more than {MAX_VALUES:,} values, its aliases written out. Split it.")
        if depth > MAX_DEPTH:
            raise _too_deep(self._name)
        if isinstance(value, dict):
            return {self._text(key): self.value(child, depth + 1) for key, child in value.items()}
        if isinstance(value, list):
            return [self.value(child, depth + 1) for child in value]
        if isinstance(value, str):
            return self._text(value)
        return self._number(value) if isinstance(value, int | float) else value

    def _number(self, value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            self._findings.changed(f"{str(value)[:SHOWN_CHARS]} is beyond 64 bits and was rounded.")
            value = float(value) if abs(value) < 10**300 else math.inf
        if isinstance(value, float) and not math.isfinite(value):
            self._findings.changed("A number that JSON cannot carry (NaN or infinite) was replaced by null.")
            return None
        return value

    def _text(self, text: str) -> str:
        if text.isascii() and "\x00" not in text:
            return text
        storable = text.replace("\x00", "\ufffd").encode(errors="replace").decode()
        if storable != text:
            self._findings.changed(f"Characters that cannot be stored were replaced in {storable[:SHOWN_CHARS]!r}.")
        return storable
