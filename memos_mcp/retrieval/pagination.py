"""Opaque page cursors: a position with a digest of the question it belongs to."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Final

from memos_mcp.domain.errors import Invalid

_DIGEST_BYTES: Final = 8
_ENCODER: Final = json.JSONEncoder(sort_keys=True, default=str)


def fingerprint(*parts: object) -> str:
    """Return a digest that identifies a question; datetimes, tuples and mappings count by their text."""
    return blake2b(_ENCODER.encode(parts).encode(), digest_size=16).hexdigest()


def encode(position: tuple[str | int, ...], question: str) -> str:
    """Return a cursor for this position in the answer to this question."""
    body = json.dumps(position, separators=(",", ":")).encode()
    return urlsafe_b64encode(_digest(body, question) + body).decode().rstrip("=")


def decode(cursor: str, question: str) -> tuple[str | int, ...]:
    """Return the position; raise `Invalid` for a cursor that was changed or belongs to another question.

    The digest is no secret: a position gives access to nothing that the question itself does not. Callers still check
    the shape of a position, and raise `invalid_cursor()` when it is not one of theirs.
    """
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        position = json.loads(body) if digest == _digest(body, question) else None
    except (ValueError, RecursionError):
        position = None
    if not isinstance(position, list):
        raise invalid_cursor()
    return tuple(position)


def invalid_cursor() -> Invalid:
    """Return the error for a cursor that no answer to this question gave."""
    return Invalid(
        "cursor does not belong to this question. Repeat the call without cursor, "
        "or with exactly the arguments of the call that returned it."
    )


def _digest(body: bytes, question: str) -> bytes:
    return blake2b(body, key=question.encode()[:64], digest_size=_DIGEST_BYTES).digest()
