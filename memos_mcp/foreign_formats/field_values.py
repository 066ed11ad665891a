"""Reads the values of other systems' fields: texts, times and tags. A value without a clear reading is refused."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import MAX_NAME_CHARS, is_visible

MILLISECONDS_FROM: Final = 100_000_000_000
"""A larger Unix time is in milliseconds: in seconds it would be after the year 5000."""

_SPACE_BEFORE_OFFSET: Final = re.compile(r"(?<=\d) (?=[+-]\d\d:?\d\d$)")
"""As in 2026-05-01 12:00:00 +0200, the form of Jekyll and of git."""


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return a list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Return a text that has something to see, unchanged, or None for anything else."""
    return value if isinstance(value, str) and any(map(is_visible, value)) else None


def first_text(record: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these fields that has a text."""
    return next((found for name in names if (found := text(record.get(name))) is not None), None)


def moment(field: str, value: object) -> datetime | None:
    """Return a time that is given as ISO 8601 or as Unix time; raise `Invalid` for anything else but nothing.

    A time without a zone is taken as UTC, and a date as its beginning, so that the day stays the one that is written.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            found = datetime.fromisoformat(_SPACE_BEFORE_OFFSET.sub("", value.strip()))
            return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value / 1_000 if abs(value) >= MILLISECONDS_FROM else value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise Invalid(f"{field} is not a time: {str(value)[:40]!r}. Write it as 2026-05-01T12:00:00Z.")


def first_moment(record: Mapping[str, Any], *names: str) -> datetime | None:
    """Return the time of the first of these fields that is given; raise `Invalid` if that is none."""
    return next((found for name in names if (found := moment(name, record.get(name))) is not None), None)


def optional_mapping(field: str, value: object) -> Mapping[str, Any]:
    """Return an object, or an empty one for nothing; raise `Invalid` for anything else."""
    if value is not None and not isinstance(value, dict):
        raise Invalid(f"{field} is no object.")
    return value or {}


def labels(field: str, value: object) -> list[str]:
    """Return tags that are given as a list or separated by commas, each once, without the # before them."""
    parts = value.split(",") if isinstance(value, str) else [] if value is None else value
    if not isinstance(parts, list) or not all(isinstance(part, str | int | float | None) for part in parts):
        raise Invalid(f"{field} is no list of texts.")
    found = (str(part).strip().lstrip("#") for part in parts if part is not None)
    return list(dict.fromkeys(label for label in found if label))


def session(system: str, own_id: str) -> str:
    """Return the session of a conversation or note, which follows from its own id; a long id is hashed."""
    name = f"{system}:{own_id}"
    if len(name) <= MAX_NAME_CHARS and name.isprintable():
        return name
    return f"{system}:{sha256(own_id.encode('utf-8', 'surrogatepass')).hexdigest()}"
