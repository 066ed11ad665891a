"""Recognizes what a tool wrote: by its first lines and by the length of the lines of code."""

import re
from typing import Final

from memos_mcp.domain.chunk import PROSE
from memos_mcp.ingest.files.languages import is_program
from memos_mcp.ingest.files.skip_reasons import SkipReason

_MAX_LINE_CHARS: Final = 20_000
"""Nobody writes longer lines by hand; with this limit a line always fits into a memory."""

_MAX_STORED_LINE_CHARS: Final = 60_000
"""A line of so many characters of four bytes fits into a memory, with its path."""

_MINIFIED_LINE_CHARS: Final = 110
"""An average line of minified code has more characters than this; the limit is that of GitHub's linguist."""

_MINIFIED: Final = frozenset({"javascript", "css"})

_HEAD_LINES: Final = 12
_MARK: Final = re.compile(
    # The form of Go (https://go.dev/s/generatedcode), the mark of Phabricator, and the text of most other generators.
    r"^\W*code generated .* do not edit\.?\W*$"
    r"|^\W*@generated\b"
    r"|^\W*(?:(?:this|the) (?:file|code|header|module) (?:is|was|has been) )?(?:auto(?:matically|[- ])? ?generated)\b"
    r"|^\W*generated (?:by|from|with) .*\bdo not (?:edit|modify)\b"
    r"|^\W*do not (?:edit|modify)\b.*\bgenerated\b",
    re.IGNORECASE,
)
_COMMENT: Final = re.compile(r"\s*(?:#|//|/\*|\*|--|;|<!--|%|\.\. |\"\"\")")
_PROSE_COMMENT: Final = re.compile(r"\s*(?:<!--|\.\. )")
"""In Markdown `#`, `*` and `--` are no comments: "# Auto-generated keys" is a heading that somebody wrote."""


def sign_of_a_tool(language: str | None, text: str, *, included: bool) -> SkipReason | None:
    """Return why nobody wrote a text, or None; for an included file only what cannot be stored counts."""
    lines = text.split("\n")
    longest = max(map(len, lines))
    if included:
        return SkipReason.LONG_LINE if longest > _MAX_STORED_LINE_CHARS else None
    is_code = language == "css" or is_program(language)
    if longest > _MAX_LINE_CHARS:
        return SkipReason.GENERATED if is_code else SkipReason.LONG_LINE
    is_minified = language in _MINIFIED and len(text) > _MINIFIED_LINE_CHARS * len(lines)
    comment = _PROSE_COMMENT if language in PROSE else _COMMENT
    is_marked = any(comment.match(line) and _MARK.match(line) for line in lines[:_HEAD_LINES])
    return SkipReason.GENERATED if is_minified or is_marked else None
