"""The shape of gettext catalogues: messages with their translations."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from memos_mcp.ingest.data.data_shape import DataShape, Records

_MIN_MESSAGES: Final = 5
_TEXT: Final = re.compile(r'(msgid|msgid_plural|msgstr|msgctxt)?(?:\[\d+\])?\s*"(.*)"\s*$')


def catalog_shape(text: str) -> DataShape | None:
    """Return the shape of a `.po` or `.pot` file, or None when it has next to no messages."""
    records = Records(unit="messages")
    for message, translation in _messages(text.split("\n")):
        records.add((), f"{message} → {translation}" if translation else message)
    return DataShape("gettext", [records.table()]) if records.count >= _MIN_MESSAGES else None


def _messages(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each message with its first translation, which may be empty; the header, which has no message, is none."""
    message, translation, current = "", "", ""
    for line in lines:
        found = _TEXT.match(line)
        if found is None:
            continue
        keyword, text = found[1] or current, found[2]
        if keyword == "msgid" and found[1]:
            if message:
                yield message, translation
            message, translation = "", ""
        if keyword == "msgid":
            message += text
        elif keyword == "msgstr" and (found[1] is None or not translation):
            translation += text
        current = keyword
    if message:
        yield message, translation
