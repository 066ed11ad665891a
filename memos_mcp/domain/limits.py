"""Checks of what can be stored exactly. They raise `Invalid` with a message a model can act on, and change nothing."""

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from memos_mcp.domain.errors import Invalid

MAX_NAME_CHARS: Final = 255
MAX_JSON_DEPTH: Final = 64
MAX_INTEGER: Final = 2**63 - 1

_BLANKS: Final = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
"""Invisible characters whose category is that of letters, signs or marks: fillers, the empty Braille cell, variation
selectors."""

_NOT_IN_A_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


def check_text(field: str, text: str, *, max_chars: int | None = None, max_bytes: int | None = None) -> None:
    """Refuse text that is blank, too long, or holds what UTF-8 or Postgres cannot."""
    check_characters(field, text)
    if not any(is_visible(character) for character in text):
        raise Invalid(f"{field} is empty. Give it at least one visible character.")
    if max_chars is not None and len(text) > max_chars:
        raise Invalid(f"{field} has {len(text):,} characters; the limit is {max_chars:,}. Shorten it.")
    if max_bytes is not None and (size := len(text.encode())) > max_bytes:
        raise Invalid(f"{field} has {size:,} bytes; the limit is {max_bytes:,} ({max_bytes // 1024} KiB). Split it.")


def check_characters(field: str, text: str) -> None:
    """Refuse NUL and unpaired surrogates, which neither Postgres nor UTF-8 can hold."""
    if "\x00" in text:
        raise Invalid(f"{field} holds a NUL character (U+0000), which cannot be stored. Remove it.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(
            f"{field} holds an unpaired surrogate at position {error.start} "
            "(often an emoji that was cut in two). Remove it or send the whole character."
        ) from None


def check_name(field: str, text: str, *, max_chars: int = MAX_NAME_CHARS) -> None:
    """Refuse an identifier or label that is blank, too long or not printable."""
    check_text(field, text, max_chars=max_chars)
    if not text.isprintable():
        raise Invalid(f"{field} holds a character that cannot be printed. Use letters, digits, spaces and signs.")


def check_file_name(field: str, text: str) -> None:
    """Refuse the name of a folder or source that is blank, too long or not one line; it may hold any kind of space."""
    check_text(field, text, max_chars=MAX_NAME_CHARS)
    if not is_one_line(text):
        raise Invalid(f"{field} holds a control character or a line end. Use letters, digits, spaces and signs.")


def is_one_line(text: str) -> bool:
    """Whether a text can be stored and shown on one line: no control characters, line ends or unpaired surrogates.

    Joiners, and the spaces of any script, are parts of names.
    """
    return text.isprintable() or not any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text)


def check_labels(field: str, labels: Sequence[str], *, max_count: int, max_chars: int) -> None:
    """Refuse a list of labels that is too long or holds one that is not a name."""
    if len(labels) > max_count:
        raise Invalid(f"{field} has {len(labels):,} entries; the limit is {max_count}. Keep the most specific ones.")
    for label in labels:
        check_name(f"an entry of {field}", label, max_chars=max_chars)


def check_time(field: str, moment: datetime | None) -> None:
    """Refuse a time without a zone, or one that leaves the calendar when it is turned into UTC."""
    if moment is None:
        return
    if moment.tzinfo is None:
        raise Invalid(f"{field} has no time zone. Add one, for example 2026-05-01T12:00:00Z.")
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise Invalid(f"{field} lies outside the years 1 to 9999 in UTC.") from None


def check_json(field: str, value: object, *, max_chars: int) -> None:
    """Refuse JSON that is too large or too deep, or that cannot be stored and read back unchanged."""
    for count, (part, depth) in enumerate(iterate_json(value)):
        if count > max_chars:  # each part is a character at least: the rest of millions is not read
            raise Invalid(f"{field} has more than {max_chars:,} characters as JSON, which is the limit.")
        if depth > MAX_JSON_DEPTH:
            raise Invalid(f"{field} is nested more than {MAX_JSON_DEPTH} levels deep. Flatten it.")
        if isinstance(part, str):
            check_characters(f"a text in {field}", part)
        elif isinstance(part, float) and not math.isfinite(part):
            raise Invalid(f"{field} holds a number that JSON cannot carry (NaN or beyond 1e308). Send it as text.")
        elif isinstance(part, int) and abs(part) > MAX_INTEGER:
            raise Invalid(f"{field} holds an integer beyond 64 bits. Send it as text.")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
    if size > max_chars:
        raise Invalid(f"{field} has {size:,} characters as JSON; the limit is {max_chars:,}.")


def iterate_json(value: object) -> Iterator[tuple[object, int]]:
    """Yield every key and value of a JSON document with its depth, one by one and without recursion."""
    entered: list[Iterator[object]] = [iter((value,))]
    while entered:
        depth = len(entered) - 1
        for part in entered[-1]:
            yield part, depth
            if depth <= MAX_JSON_DEPTH and isinstance(part, Mapping | list | tuple):
                if isinstance(part, Mapping):
                    yield from ((key, depth) for key in part)
                entered.append(iter(part.values() if isinstance(part, Mapping) else part))
                break
        else:
            entered.pop()


def is_visible(character: str) -> bool:
    """Whether a character is visible: not white space, not a control, not zero-width, not a blank filler."""
    return (
        not character.isspace()
        and character not in _BLANKS
        and unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp", "Zs"}
    )
