"""Further terms that find an item: the parts of identifiers and the values of metadata."""

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final

_BOUNDARY: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})|[_\-./:]+")
"""The boundaries between the parts of an identifier. An acronym with a plural s (URLs) is one part."""


def split_identifier(identifier: str) -> str:
    """Return an identifier followed by its parts: `getUser_by-ID` becomes `getUser_by-ID get User by ID`."""
    parts = _BOUNDARY.sub(" ", identifier).split()
    return identifier if parts == identifier.split() else f"{identifier} {' '.join(parts)}"


def metadata_terms(metadata: Mapping[str, Any]) -> list[str]:
    """Digest each scalar of a JSON object with its path, so that containment becomes a search for terms.

    `a @> b` in jsonb implies `set(metadata_terms(b)) <= set(metadata_terms(a))`: array positions are left out, and
    equal numbers give the same digest. The converse does not hold, so Postgres filters again.
    """
    return sorted({_digest(path, value) for path, value in _scalars(metadata, "")})


def _scalars(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _scalars(child, f"{path}.{json.dumps(key)}")
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _scalars(child, f"{path}[]")
    else:
        yield path, value


def _digest(path: str, value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return blake2b(f"{path}={json.dumps(value)}".encode(), digest_size=8).hexdigest()
