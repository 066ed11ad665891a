"""The pages of the documentation, with their fenced blocks, tables and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md"]

PRINTING = ("python", "sh")

_FENCE = re.compile(r"^```(\S*) *(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_LINK_TEXT = re.compile(r"\[([^\]]*)\]\([^)]*\)")


@dataclass(frozen=True)
class Block:
    """A fenced block. `name` is what follows the language: a file that the block is, or a tool that it calls."""

    page: Path
    line: int
    language: str
    name: str
    text: str
    output: str | None = None
    """The `text` block that directly follows a program or commands: what they print."""

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line} {self.language}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page; the output of a program or of commands belongs to them, and is none of its own."""
    text = page.read_text(encoding="utf-8")
    found = list(_FENCE.finditer(text))
    for number, match in enumerate(found):
        following = found[number + 1] if number + 1 < len(found) else None
        language, name, content = match.groups()
        if language == "text" and number and found[number - 1][1] in PRINTING:
            continue
        output = following[3] if language in PRINTING and following is not None and following[1] == "text" else None
        yield Block(page, text.count("\n", 0, match.start()) + 1, language, name, content, output)


def prose(page: Path) -> str:
    """Return the text of a page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def table(page: Path, heading: str) -> dict[str, str]:
    """Return the table under a heading: the first column, without backticks, and the rest of each row."""
    section = re.split(rf"^#+ {re.escape(heading)}$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, maxsplit=1, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", section, re.MULTILINE))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = [_LINK_TEXT.sub(r"\1", heading).lower() for heading in _HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def links(page: Path) -> set[str]:
    """Return the targets of the links of a page that are not addresses."""
    return {target for target in _LINK.findall(prose(page)) if not re.match(r"[a-z]+:", target)}
