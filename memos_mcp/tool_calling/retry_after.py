"""How long a busy tool asks to wait. Pure."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2


def retry_after(headers: httpx2.Headers) -> float | None:
    """Return the seconds of a `Retry-After` header, given as a number or an HTTP date; None if there is none.

    A date is compared with the `Date` of the answer, because the clocks of both sides may differ.
    """
    written = headers.get("retry-after", "").strip()
    if written.isascii() and written.isdecimal():
        return float(written[:9])
    until = _moment(written)
    if until is None:
        return None
    now = _moment(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _moment(written: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(written)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
