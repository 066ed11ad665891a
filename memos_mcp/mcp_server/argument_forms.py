"""Understands arguments in other forms than the schema's, as many models send them: pure functions of both.

Only what has a single reading is understood; everything else stays unchanged, and is refused with what was expected.
Free text, such as `content` and `query`, is never touched. A note names whatever was understood otherwise than it was
written, so that a model can correct it.
"""

import ast
import json
import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

MAX_SHOWN_CHARS: Final = 60
MAX_NOTE_CHARS: Final = 300

_NOTHING: Final = ("", "null")
_REFERENCES: Final = ("cursor", "name")
"""Optional strings that are no free text, beside those that end in `_id`."""

_ENDS_OF_DAY: Final = ("until", "expires_at")
"""Times of which a date means the end of the day; of all others it means the start."""

_PYTHON_TOKEN: Final = re.compile(
    r"""(?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|\b(?P<constant>True|False|None)\b"""
)
_JSON_CONSTANTS: Final = {"True": "true", "False": "false", "None": "null"}

_SEPARATORS: Final = re.compile(r"[,;|\n]")
_MOMENT: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[Tt ](?P<time>\d\d:\d\d(?::\d\d(?:[.]\d{1,9})?)?))?"
    r"(?P<zone> ?(?:[Zz]|UTC|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)


class Understood(NamedTuple):
    """Arguments in the schema's forms, None for one that is not given, and what was read otherwise than written."""

    arguments: dict[str, Any]
    note: str


def understand(given: Mapping[str, Any], properties: Mapping[str, Any], required: Collection[str]) -> Understood:
    """Return the arguments as the schema of their properties asks for them, as far as there is a single reading."""
    arguments: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in given.items():
        schema = properties.get(name, {})
        arguments[name] = _read(name, value, schema, optional=name not in required)
        if not _same(arguments[name], value, schema):
            read = "not given" if arguments[name] is None else _shown(arguments[name])
            notes.append(f"{name} {_shown(value)} was read as {read}.")
    note = " ".join(notes)
    return Understood(arguments, note if len(note) <= MAX_NOTE_CHARS else note[: MAX_NOTE_CHARS - 1] + "…")


def _read(name: str, value: Any, schema: Mapping[str, Any], *, optional: bool) -> Any:
    if optional and value in _NOTHING and isinstance(value, str) and not _is_free_text(name, schema):
        return None
    if "enum" in schema:
        return _as_choice(value, schema["enum"])
    if schema.get("format") == "date-time":
        return _as_moment(name, value)
    if schema.get("type") == "array":
        return _as_strings(value)
    if schema.get("type") == "string":
        return str(value) if name.endswith("_id") and _is_integer(value) else value
    return _as_json(value, _JSON_TYPES[schema["type"]]) if schema.get("type") in _JSON_TYPES else value


def _is_free_text(name: str, schema: Mapping[str, Any]) -> bool:
    is_text = schema.get("type") == "string" and not {"enum", "format"} & schema.keys()
    return is_text and not (name.endswith("_id") or name in _REFERENCES)


def _as_choice(value: Any, choices: Collection[str]) -> Any:
    """Return a choice that differs in its case or the white space around it only."""
    return next((one for one in choices if isinstance(value, str) and value.strip().lower() == one.lower()), value)


def _as_moment(name: str, value: Any) -> Any:
    """Return RFC 3339 for a date, a time in UTC without a zone, and other forms of an offset."""
    match = _MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    time = match["time"] or ("23:59:59.999999" if name in _ENDS_OF_DAY else "00:00:00")
    zone = (match["zone"] or "Z").strip()
    if zone in {"z", "UTC"}:
        zone = "Z"
    elif zone != "Z":
        digits = zone[1:].replace(":", "").ljust(4, "0")
        zone = f"{zone[0]}{digits[:2]}:{digits[2:]}"
    return f"{match['date']}T{time}{zone}"


def _as_strings(value: Any) -> Any:
    """Return a list for the JSON text of one, or for a single string; whole numbers in it become strings.

    A string with a separator in it may be one or several, so it stays unchanged.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _as_json(value, lambda parsed: isinstance(parsed, list))
    elif isinstance(value, str) and value.strip() and not _SEPARATORS.search(value):
        return [value]
    if not isinstance(value, list):
        return value
    return [str(entry) if _is_integer(entry) else entry for entry in value]


def _as_json(value: Any, fits: Callable[[Any], bool]) -> Any:
    """Return what JSON text, or the same as Python writes it, stands for, if it is of the type that is asked for."""
    if not isinstance(value, str):
        return value
    for parse in (_from_json, _from_python):
        with suppress(ValueError, SyntaxError, RecursionError):
            if fits(parsed := parse(value)):
                return parsed
    return value


def _from_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _from_python(text: str) -> Any:
    """Parse lists and dicts as Python prints them. Only strings are evaluated: nesting could exhaust the stack."""
    return _from_json(_PYTHON_TOKEN.sub(_json_token, text))


def _json_token(token: re.Match[str]) -> str:
    return json.dumps(ast.literal_eval(token[0])) if token["string"] else _JSON_CONSTANTS[token["constant"]]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_JSON_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda parsed: isinstance(parsed, dict),
    "number": _is_number,
    "integer": _is_number,
    "boolean": lambda parsed: isinstance(parsed, bool),
}


def _same(read: Any, written: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a note is unnecessary: the value is as it was written, or a time differs in the form of its zone."""
    if read == written and type(read) is type(written):
        return True
    if schema.get("format") != "date-time" or not isinstance(written, str):
        return False
    match = _MOMENT.fullmatch(written)
    return match is not None and match["time"] is not None and match["zone"] is not None


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= MAX_SHOWN_CHARS else text[: MAX_SHOWN_CHARS - 1] + "…"
