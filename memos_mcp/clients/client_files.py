"""A client's files as they were read, and their changes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from memos_mcp.clients.changes import Change
from memos_mcp.clients.config_files import backup_of, read_text
from memos_mcp.clients.config_text import BrokenText, UnsupportedText
from memos_mcp.clients.file_parts import FilePart
from memos_mcp.domain.errors import Invalid

_BOM: Final = "\ufeff"

Values: TypeAlias = Sequence[dict[str, Any] | None]
"""What a file has of each of its parts, or is to have."""


@dataclass(frozen=True, slots=True)
class ClientFile:
    """A file, and what an installation has in it. Every method raises `Invalid` for a broken file.

    Args:
        path: where it is.
        text: its text, or None where it does not exist.
        empty: what a new file has besides the parts.
        shared: whether it belongs to a project, so that others may read it.
        parts: what an installation has in it.

    """

    path: Path
    text: str | None
    empty: str
    shared: bool
    parts: tuple[FilePart, ...]

    def found(self) -> Values:
        """Return what the file has of each part."""
        return self._found(self._with_content(self.text))

    def with_parts(self, values: Values) -> Change:
        """Return the change that gives the file these parts; one whose value is None is unchanged."""
        found = self.found()
        if all(value in (None, old) for value, old in zip(values, found, strict=True)):
            return self._change(self.text)
        after = self._put(self._with_content(self.text), values)
        is_first = not any(found) or not backup_of(self.path).exists()
        return self._change(after, backup=self.text if is_first else None)

    def without_parts(self) -> Change:
        """Return the change that takes the parts out.

        A file that only the installation changed gets the text back that it had before; one that it made is deleted.
        """
        text, found = self.text, self.found()
        if text is None or not any(found):
            return self._change(text)
        former = self._former_text()
        if former is not None and self._is_installed(former, found):
            return self._change(former, drops_backup=True)
        after = text
        for part, _ in self._parts_in(found):
            after = self._edited(after, part, partial(part.taken_out, after))
        if former is None and after == self.empty:
            return self._change(None, drops_backup=True)
        return self._change(after, backup=text)

    def _change(self, after: str | None, backup: str | None = None, *, drops_backup: bool = False) -> Change:
        return Change(self.path, self.text, after, self.shared, backup, drops_backup)

    def _found(self, text: str) -> Values:
        try:
            return [part.found(text) for part in self.parts]
        except BrokenText as error:
            at = ":".join(str(number) for number in (self.path, error.line, error.column) if number)
            raise Invalid(f"{at}: {error}. Correct this file first; nothing was changed.") from None

    def _former_text(self) -> str | None:
        """Return the text that the backup has from before the installation, if there is one."""
        text = read_text(backup_of(self.path))
        try:
            return text if text is not None and not any(self._found(self._with_content(text))) else None
        except Invalid:
            return None

    def _is_installed(self, former: str, values: Values) -> bool:
        """Return whether the text is a former one with these parts, and nothing else was changed."""
        try:
            return self._put(self._with_content(former), values) == self.text
        except Invalid:
            return False

    def _with_content(self, text: str | None) -> str:
        """Return a text, or for one without content what a new file has."""
        return text if text is not None and text.strip(f"{_BOM} \t\r\n") else self.empty

    def _parts_in(self, values: Values) -> Iterator[tuple[FilePart, dict[str, Any]]]:
        for part, value in zip(self.parts, values, strict=True):
            if value is not None:
                yield part, value

    def _put(self, text: str, values: Values) -> str:
        for part, value in self._parts_in(values):
            text = self._with_part(text, part, value)
        return text

    def _with_part(self, text: str, part: FilePart, value: dict[str, Any]) -> str:
        changed = self._edited(text, part, partial(part.put, text, value))
        if part.found(changed) != value:
            raise self._unsupported(part, "it has an unusual form")
        return changed

    def _edited(self, text: str, part: FilePart, edit: Callable[[], str]) -> str:
        """Return an edited text, which has been read again: all but the part must be what it was."""
        try:
            changed = edit()
            if part.rest(changed) == part.rest(text):
                return changed
        except (BrokenText, UnsupportedText) as error:
            raise self._unsupported(part, str(error)) from None
        raise self._unsupported(part, "it has an unusual form")

    def _unsupported(self, part: FilePart, problem: str) -> Invalid:
        return Invalid(f"{self.path} was not changed, because {problem}. Change {part.name} by hand.")
