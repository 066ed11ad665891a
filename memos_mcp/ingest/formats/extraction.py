"""Extracts text from PDF and office files, in a process of its own: such files may be made to crash or stall a parser.

Run as a program, this module extracts one file: its bytes in, its pages as JSON out. The process has limits of time
and, on Linux, of memory.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any, Final

from memos_mcp.ingest.formats.extracted import Page, Unreadable
from memos_mcp.ingest.text.parts import SourcePart

CPU_SECONDS: Final = 30
"""PDFium reads some 100 pages a second. On Windows only the next limit holds."""

EXTRACT_SECONDS: Final = 120.0
MAX_MEMORY: Final = 1024**3
MAX_CHARS: Final = 8 * 1024**2
"""The text of a book of 2,000 pages has half as many characters."""

_READERS: Final[Mapping[str, str]] = {
    ".pdf": "memos_mcp.ingest.formats.pdf_pages",
    ".docx": "memos_mcp.ingest.formats.word_text",
    ".pptx": "memos_mcp.ingest.formats.slides",
    ".xlsx": "memos_mcp.ingest.formats.sheets",
    ".odt": "memos_mcp.ingest.formats.open_formats",
    ".odp": "memos_mcp.ingest.formats.open_formats",
    ".ods": "memos_mcp.ingest.formats.open_formats",
}
"""The module that reads each kind of file: `pages(data)` yields its pages."""

_NEEDED: Final[Mapping[str, str]] = {".pdf": "pypdfium2"}
"""Packages that are installed with the extra `documents` only."""

_LONG_LINE: Final = re.compile(r".{400,}")
_LINE: Final = re.compile(r".{1,399}(?: |$)|.{400}")

_MALFORMED: Final = 3
_STOPPED: Final = frozenset({signal.SIGINT, signal.SIGTERM, 9})
"""Signals of a Ctrl-C, of a shutdown, and of a system that is short of memory (SIGKILL)."""


class NotExtracted(Exception):
    """The file is broken or encrypted, or takes too much memory or time of the processor."""


class NotFinished(Exception):
    """The process could not be started, took too long or was stopped, which may be due to the machine."""


class NotInstalled(Exception):
    """The package that reads this kind of file is not installed."""


def is_extracted(path: str) -> bool:
    """Whether the text of this file has to be extracted, by its suffix."""
    return _suffix(path) in _READERS


def extract(path: str, data: bytes) -> tuple[SourcePart, ...]:
    """Return the pages, slides or sheets that have a text; raise `NotExtracted`, `NotFinished` or `NotInstalled`."""
    suffix = _suffix(path)
    if (package := _NEEDED.get(suffix)) is not None and find_spec(package) is None:
        raise NotInstalled(package)
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and this module
            [sys.executable, "-P", "-m", __name__, suffix],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=EXTRACT_SECONDS,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NotFinished from error
    if -done.returncode in _STOPPED:
        raise NotFinished
    if done.returncode != 0:
        raise NotExtracted
    pages = [Page(*fields) for fields in json.loads(done.stdout)]
    return tuple(_part(page, suffix.removeprefix(".")) for page in pages if page.text.strip())


def _part(page: Page, kind: str) -> SourcePart:
    text, cut_as = _LONG_LINE.sub(_wrapped, page.text), "markdown" if page.has_headings else None
    if page.number is None:
        return SourcePart(text, kind, cut_as=cut_as)
    names = (page.title,) if page.title else ()
    label = None if page.title else f"{page.unit} {page.number}"
    return SourcePart(text, kind, names, label, cut_as, details={page.unit: page.number})


def _wrapped(line: "re.Match[str]") -> str:
    """Return a line with line ends for some of its spaces: these formats have paragraphs, and chunks have lines."""
    return _LINE.sub(r"\g<0>\n", line[0]).rstrip("\n").replace(" \n", "\n")


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def main() -> int:
    """Write the pages of standard input, a file with the suffix of the first argument."""
    _limit_resources()
    reader = import_module(_READERS[sys.argv[1]])
    try:
        pages = list(_within_limit(reader.pages(sys.stdin.buffer.read())))
    except (Unreadable, MemoryError, RecursionError):
        return _MALFORMED
    sys.stdout.write(json.dumps(pages))
    return 0


def _within_limit(pages: Iterator[Page]) -> Iterator[Any]:
    chars = 0
    for page in pages:
        chars += len(page.text)
        if chars > MAX_CHARS:
            raise Unreadable
        yield page


def _limit_resources() -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        if sys.platform == "linux":
            resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


if __name__ == "__main__":
    sys.exit(main())
