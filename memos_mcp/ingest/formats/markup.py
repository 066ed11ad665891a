"""Finds tags and their raw contents in HTML and in what resembles it, in linear time and at any depth."""

import html
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TAG: Final = re.compile(r"""<(/?)([A-Za-z][^\s/>]*+)((?:[^>"']++|"[^"]*+"|'[^']*+')*+)>""")
_NAME: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]*+)")
_OPENING: Final = re.compile(r"<(?=/?[A-Za-z]|[!?])")
_ATTRIBUTE: Final = re.compile(r"""([^\s"'=/>]++)(?:\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++)))?""")
_RAW: Final = frozenset({"script", "style"})
_RAW_TAG: Final = re.compile(r"<!--|<(?:script|style)(?=[\s/>])", re.IGNORECASE)


class Tag(NamedTuple):
    """A tag, with the positions of its first character and of the one after it; `name` is in lower case."""

    start: int
    end: int
    name: str
    closing: bool
    attributes: str

    def attribute(self, name: str) -> str | None:
        """Return the value of an attribute; None when it has none of this name."""
        for found in _ATTRIBUTE.finditer(self.attributes):
            if found[1].lower() == name:
                return html.unescape(next((value for value in found.groups()[1:] if value is not None), ""))
        return None


class TextSpan(NamedTuple):
    """The positions of text between tags and comments."""

    start: int
    end: int


class RawSection(NamedTuple):
    """A script or a style: its tag, and the positions of the end of its contents and of its closing tag."""

    tag: Tag
    end: int
    after: int


def tokens(text: str) -> Iterator[Tag | TextSpan]:
    """Yield the tags and texts of a page in order, without comments and without what is in scripts and styles."""
    position = shown = 0
    while position >= 0 and (opening := _OPENING.search(text, position)) is not None:
        start = opening.start()
        tag = None if text[start + 1] in "!?" else _tag_at(text, start)
        if tag is None and text[start + 1] not in "!?":
            break
        if start > shown:
            yield TextSpan(shown, start)
        if tag is None:
            position = _end_of_comment(text, start)
        else:
            yield tag
            position = _end_of_raw(text, tag)[0] if tag.name in _RAW and not tag.closing else tag.end
        shown = position if position >= 0 else len(text)
    if shown < len(text):
        yield TextSpan(shown, len(text))


def raw_sections(text: str, position: int = 0) -> Iterator[RawSection]:
    """Yield the scripts and styles from a position on; what else is in the file need not be HTML."""
    while position >= 0 and (opening := _RAW_TAG.search(text, position)) is not None:
        if opening[0] == "<!--":
            position = _end_of_comment(text, opening.start())
        elif (tag := _tag_at(text, opening.start())) is None:
            return
        elif tag.attributes.endswith("/"):
            position = tag.end
        else:
            end, position = _end_of_raw(text, tag)
            if position > 0:
                yield RawSection(tag, end, position)


def _tag_at(text: str, start: int) -> Tag | None:
    """Return the tag that begins here; None when no tag ends after this position."""
    if (found := _TAG.match(text, start)) is not None:
        return Tag(start, found.end(), found[2].lower(), bool(found[1]), found[3])
    # A quote is not closed: the tag ends where one without quotes does.
    if (name := _NAME.match(text, start)) is None or (end := text.find(">", start)) < 0:
        return None
    return Tag(start, end + 1, name[2].lower(), bool(name[1]), text[name.end() : end])


def _end_of_comment(text: str, start: int) -> int:
    """Return the position after a comment or declaration; -1 when it does not end, so that nothing follows."""
    mark = "-->" if text.startswith("<!--", start) else ">"
    end = text.find(mark, start + 2)
    return end if end < 0 else end + len(mark)


def _end_of_raw(text: str, tag: Tag) -> tuple[int, int]:
    """Return where the contents of a script or style end and where its closing tag does; -1 when it is not closed."""
    closing = re.compile(rf"</{tag.name}\s*>", re.IGNORECASE).search(text, tag.end)
    return (-1, -1) if closing is None else closing.span()
