"""Parts: what a file consists of when it is more than the lines of one language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SourcePart:
    """A text within a file, which is cut as a file of its own: a cell, a page, a script.

    `names` enclose what is in it, outermost first. `label` names its chunks in the metadata where nothing else does.
    """

    text: str
    language: str | None
    names: tuple[str, ...] = ()
    label: str | None = None
    cut_as: str | None = None
    """The language whose rules cut the text, if that is another one."""
    parsed: str | None = None
    """The text as its parser reads it, of as many lines, if not all of the text is code."""
    line_numbers: Sequence[int] | None = None
    """The line of the file that each line of the text comes from; None when they are the same."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What the metadata of its chunks also holds, such as the number of the page."""
