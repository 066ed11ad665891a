"""How values of jsonb and timestamptz become those of Python, and back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

MAX_INTEGER_DIGITS: Final = 19


def load_json(text: str) -> Any:
    """Parse jsonb, in which a float such as 1e300 has become an integer of 301 digits."""
    return _DECODER.decode(text)


def dump_json(value: Any) -> str:
    """Return compact JSON without escapes for non-ASCII characters."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def encode_time(moment: datetime) -> tuple[int]:
    """Return the microseconds since the year 2000 of a time with a zone."""
    return ((moment - _EPOCH) // _MICROSECOND,)


def decode_time(microseconds: tuple[int]) -> datetime:
    """Decode a time as UTC, and infinity as the end of the calendar.

    The driver's own codec does the reverse: it encodes the ends of the calendar as infinity.
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds[0])
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if microseconds[0] > 0 else datetime.min.replace(tzinfo=UTC)


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits.lstrip("-")) <= MAX_INTEGER_DIGITS else float(digits)


_DECODER: Final = json.JSONDecoder(parse_int=_integer)
"""One for all values: to create it takes longer than to read a small object, and leaves cycles to collect."""
