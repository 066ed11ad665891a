"""Reads the text of a JSON Web Token strictly: what two readers could read differently is refused. Pure."""

import json
import re
from base64 import b64decode
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from memos_mcp.oidc.refused_token import RefusedToken

_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
"""The compact serialization (RFC 7515, section 7.1). The JSON one, which may have several signatures, is no bearer."""

_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Many issuers do not mark access tokens (RFC 9068, section 2.1) and say `JWT`, or nothing."""


@dataclass(frozen=True, slots=True)
class TokenHeader:
    """Which key signed a token, and how. Nothing of it is verified."""

    key_id: str
    algorithm: str


def is_signed_token(text: str) -> bool:
    """Whether a text has the form of a signed token."""
    return _COMPACT.fullmatch(text) is not None


def read_header(token: str, algorithms: Collection[str]) -> TokenHeader:
    """Return the header of a signed token; raise `RefusedToken` unless it is signed by one of these algorithms.

    Keys that the header brings or points to (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
    """
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise RefusedToken("it is no signed token")
    segment = match[1]
    try:
        header = _read_object(b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True))
    except ValueError:
        raise RefusedToken("its header cannot be read") from None
    if "crit" in header or "b64" in header:
        raise RefusedToken("its header has a critical extension")
    if str(header.get("typ", "JWT")).lower() not in _TYPES:
        raise RefusedToken("its type is not that of an access token")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise RefusedToken("its algorithm is not in MEMOS_OIDC_ALGORITHMS")
    if not isinstance(key_id, str):
        raise RefusedToken("it names no key")
    return TokenHeader(key_id, algorithm)


def read_claims(payload: bytes) -> dict[str, Any]:
    """Return the claims of a token; raise `RefusedToken` if they cannot be read, or one is there twice."""
    try:
        return _read_object(payload)
    except ValueError:
        raise RefusedToken("its claims cannot be read") from None


def _read_object(text: bytes) -> dict[str, Any]:
    """Return a JSON object; raise `ValueError` for anything else, repeated names and NaN."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004 - one kind of error for a text that is not as it should be
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
