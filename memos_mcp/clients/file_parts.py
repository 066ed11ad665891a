"""What an installation has in a client's file: an entry in its list of servers, or hooks. Pure."""

from dataclasses import dataclass
from typing import Any, Protocol

from memos_mcp.clients.config_text import Keys, TextEditor, data_without_entry, entry_at
from memos_mcp.clients.server_entry import SERVER_NAME, Entry


class FilePart(Protocol):
    """A part of a file. Every method raises `BrokenText` for a text that does not follow the file's format."""

    @property
    def name(self) -> str:
        """What a user would change by hand."""

    def found(self, text: str) -> dict[str, Any] | None:
        """Return what a text has of this part, or None."""

    def rest(self, text: str) -> Any:
        """Return the value of a text without this part, and without what is empty around it."""

    def put(self, text: str, value: dict[str, Any]) -> str:
        """Return the text with this part. May raise `UnsupportedText`."""

    def taken_out(self, text: str) -> str:
        """Return the text without this part. May raise `UnsupportedText`."""


@dataclass(frozen=True, slots=True)
class ServerPart:
    """The entry of the server. Of several lists of servers it is in the first that a text has, else in the last."""

    editor: TextEditor
    lists: tuple[Keys, ...]
    name: str = f"the entry {SERVER_NAME}"

    def found(self, text: str) -> Entry | None:
        """Return the entry, or None."""
        data = self.editor.read(text)
        return entry_at(data, self._keys(data))

    def rest(self, text: str) -> Any:
        """Return the value of a text without the entry."""
        data = self.editor.read(text)
        return data_without_entry(data, self._keys(data))

    def put(self, text: str, value: Entry) -> str:
        """Return the text with this entry."""
        return self.editor.with_entry(text, self._keys(self.editor.read(text)), value)

    def taken_out(self, text: str) -> str:
        """Return the text without the entry."""
        return self.editor.without_entry(text, self._keys(self.editor.read(text)))

    def _keys(self, data: Any) -> Keys:
        found = (keys for keys in self.lists if entry_at(data, keys) is not None)
        return (*next(found, self.lists[-1]), SERVER_NAME)
