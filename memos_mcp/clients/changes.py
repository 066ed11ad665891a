"""The change of a file: its text before and after, shown and written."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from memos_mcp.clients.config_files import backup_of, read_text, replace_text


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a file. `before` is None where there is no file, `after` where none remains.

    Args:
        path: the file.
        before: its text now.
        after: its text then.
        shared: whether the file belongs to a project, so that others may read it.
        backup: the text that the backup gets; None leaves it unchanged.
        drops_backup: whether the backup is no longer needed.

    """

    path: Path
    before: str | None
    after: str | None
    shared: bool
    backup: str | None = None
    drops_backup: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether anything is to be written."""
        return self.before != self.after

    def diff(self) -> Iterator[str]:
        """Yield the lines of a unified diff, without line ends."""
        before, after = (text.splitlines() if text else [] for text in (self.before, self.after))
        former, new = ("/dev/null" if text is None else str(self.path) for text in (self.before, self.after))
        yield from difflib.unified_diff(before, after, former, new, lineterm="")

    def write(self) -> None:
        """Write the backup, then the file; raise `Conflict` or `Invalid` when the file was not changed."""
        backup = backup_of(self.path)
        if self.backup is not None:
            replace_text(backup, read_text(backup), self.backup, shared=False)
        replace_text(self.path, self.before, self.after, shared=self.shared)
        if self.drops_backup:
            backup.unlink(missing_ok=True)
