"""Types of command-line arguments. Each returns what the services take, or says what is wrong with the text."""

import json
import math
import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name, check_text, check_time
from memos_mcp.domain.scope import ALL_RIGHTS, Right
from memos_mcp.mcp_server.argument_forms import understand

Parsed = TypeVar("Parsed")
Type = Callable[[str], Parsed]

MAX_DURATION: Final = timedelta(days=3_650)

_TIME: Final = {"format": "date-time"}
_ID_DIGITS: Final = re.compile(r"[0-9a-f]{4,32}")
_DURATION: Final = re.compile(r"([0-9]{1,6})([dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}


def question(text: str) -> str:
    """Return the words of a search."""
    return _checked(check_text, "the text", text)


def name(text: str) -> str:
    """Return a tag, the id of a tool, a session or an agent, or a capability."""
    return _checked(check_name, "the name", text)


def whole_number(low: int, high: int) -> Type[int]:
    """Return the type of whole numbers in a range."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text!a} is no whole number from {low:,} to {high:,}")
        return int(text)

    return read


def unit(text: str) -> float:
    """Return a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise ArgumentTypeError(f"{text!a} is no number from 0 to 1")
    return number


def positive(text: str) -> float:
    """Return a number greater than 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise ArgumentTypeError(f"{text!a} is no number greater than 0")
    return number


def time(option: str) -> Type[datetime]:
    """Return the type of an option's times, in the forms that the tools understand too: a date is a day in UTC."""

    def read(text: str) -> datetime:
        understood = understand({option: text}, {option: _TIME}, required=(option,)).arguments[option]
        try:
            moment = datetime.fromisoformat(understood)
        except ValueError:
            raise ArgumentTypeError(f"{text!a} is no time such as 2026-05-01 or 2026-05-01T12:00:00Z") from None
        _checked(check_time, option, moment)
        return moment

    return read


def duration(text: str) -> timedelta:
    """Return a time span such as 90d, 12h or 30m."""
    found = _DURATION.fullmatch(text)
    span = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < span <= MAX_DURATION:
        raise ArgumentTypeError(f"{text!a} is no time span up to ten years, such as 90d, 12h or 30m")
    return span


def rights(text: str) -> frozenset[Right]:
    """Return the rights of a comma-separated list."""
    given = {part.strip() for part in text.split(",")}
    known = frozenset(right for right in ALL_RIGHTS if right in given)
    if len(known) < len(given):
        raise ArgumentTypeError(f"{text!a} is no list such as read,write: the rights are read, write, tools and admin")
    return known


def ingest_pattern(*, include: bool) -> Type[str]:
    """Return the type of patterns of files, which are read as lines of a `.gitignore`, where `!` includes."""

    def read(text: str) -> str:
        from memos_mcp.ingest.files.path_patterns import is_pattern  # other commands do not wait for pathspec

        if not is_pattern(text):
            raise ArgumentTypeError(
                f"{text!a} is no pattern such as '*.po' or 'vendor/acme/' (the syntax of .gitignore, where a name that "
                r"begins with ! or # is written \! or \#)"
            )
        return f"!{text}" if include else text

    return read


def memory_id(text: str) -> str:
    """Return the id of a memory, or the first digits of one, in lower case."""
    if _ID_DIGITS.fullmatch(text.lower().replace("-", "")) is None:
        raise ArgumentTypeError(f"{text!a} is no id of a memory, nor its first 4 or more digits")
    return text.lower()


def metadata(text: str) -> dict[str, Any]:
    """Return metadata for `KEY=TEXT`, `KEY:=JSON` or a JSON object."""
    if text.lstrip().startswith("{"):
        fields: dict[str, Any] = _json(text)
        return fields
    key, separator, value = text.partition("=")
    if not separator or not key.strip(":"):
        raise ArgumentTypeError(f"{text!a} is none of KEY=TEXT, KEY:=JSON and a JSON object")
    return {key[:-1]: _json(value)} if key.endswith(":") else {key: value}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentTypeError(f"{text[:40]!a} is not JSON") from None


def _checked(check: Callable[[str, Any], None], field: str, value: Parsed) -> Parsed:
    try:
        check(field, value)
    except Invalid as error:
        raise ArgumentTypeError(str(error)) from None
    return value
