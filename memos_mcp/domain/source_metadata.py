"""What the metadata of a memory says about several sources that have it: one in its own keys, the others in `also_in`.

The content holds the path and the text, so all sources of a memory agree in everything but the `PER_SOURCE` keys.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

ALSO_IN: Final = "also_in"

PER_SOURCE: Final = ("source", "lines", "encoding")
"""The keys of an element of `also_in`; the function filter_on_also_in of the schema has the same."""


def with_source(known: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of a memory after a source has it, or has it with other lines, as `new` describes."""
    others = also_in(known)
    if known.get("source") == new["source"]:
        return _joined(new, others)
    own: Mapping[str, Any] = _per_source(new)
    if not any(other["source"] == own["source"] for other in others):
        return _joined(known, [*others, own])
    return _joined(known, [own if other["source"] == own["source"] else other for other in others])


def without_source(known: Mapping[str, Any], remaining: Sequence[str]) -> dict[str, Any]:
    """Return the metadata of a memory that only the `remaining` sources, of which there is one, still have."""
    others = [other for other in also_in(known) if other["source"] in remaining]
    if known.get("source") in remaining:
        return _joined(known, others)
    if not others:  # recorded before `also_in` existed: the next run of that source corrects the lines
        return _joined({**known, "source": min(remaining)}, ())
    return _joined({**_common(known), **others[0]}, others[1:])


def seen_from(metadata: Mapping[str, Any], source: object) -> Mapping[str, Any]:
    """Return the metadata with this source in its own keys, if it is one of those in `also_in`."""
    others = also_in(metadata)
    own = next((other for other in others if other["source"] == source), None)
    if own is None:
        return metadata
    rest = [_per_source(metadata), *(other for other in others if other is not own)]
    return _joined({**_common(metadata), **own}, rest)


def also_in(metadata: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what is known of the other sources; a client can store anything under this name."""
    others = metadata.get(ALSO_IN)
    if not isinstance(others, list):
        return []
    return [other for other in others if isinstance(other, Mapping) and "source" in other]


def _joined(metadata: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    plain = {key: value for key, value in metadata.items() if key != ALSO_IN}
    listed = list(others)
    return {**plain, ALSO_IN: listed} if listed else plain


def _per_source(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in PER_SOURCE if key in metadata}


def _common(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key not in PER_SOURCE}
