"""The id of a request, by which its lines in the log, its answer over HTTP and its audit record belong together."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from secrets import token_hex
from typing import Final

HEADER: Final = "X-Request-Id"

_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_current: Final = ContextVar[str | None]("the id of the request that is served in this context", default=None)


def chosen(given: str | None) -> str:
    """Return the id that a client gave if it is short and plain, and a new one otherwise."""
    return given if given is not None and _SANE.fullmatch(given) else token_hex(8)


def current() -> str | None:
    """Return the id of the request that is served in this context, None outside of requests."""
    return _current.get()


@contextmanager
def serving(request_id: str) -> Iterator[None]:
    """Serve the request with this id in this context."""
    token = _current.set(request_id)
    try:
        yield
    finally:
        _current.reset(token)
