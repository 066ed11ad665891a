"""Makes memories of the messages of a conversation.

A message is a memory of its own, with the conversation as its session, so that it is found together with the messages
around it. Its text is unchanged; who wrote it is in the metadata, as `role`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from memos_mcp.domain.memory import NewMemory
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.field_values import session, text


@dataclass(slots=True)
class Conversation:
    """A conversation of a system: where it is, its id there, its title, and the time of its last message so far."""

    system: str
    where: str
    own_id: str
    title: str | None
    time: datetime | None

    def message(
        self,
        role: str,
        own_id: str,
        time: datetime | None,
        texts: Sequence[str],
        extra: Mapping[str, Any] | None = None,
    ) -> Entry:
        """Return the memory of a message, whose parts are joined by line ends, or that it has no text.

        A message without a time has that of the message before it, so that the order stays.
        """
        self.time = self.time if time is None else time
        content = "\n".join(texts)
        if text(content) is None:
            return self.skipped(own_id, "messages without text")
        metadata = {"role": role, f"{self.system}_id": own_id, "conversation": self.title, **(extra or {})}
        new = NewMemory(
            content,
            "episodic",
            metadata={name: value for name, value in metadata.items() if value is not None},
            session_id=session(self.system, self.own_id),
            occurred_at=self.time,
        )
        return ForeignMemory(self._position(own_id), new)

    def skipped(self, own_id: str, reason: str, *, refused: bool = False) -> NotImported:
        """Return that a message, or a part of it, is not imported."""
        return NotImported(self._position(own_id), reason, refused)

    def _position(self, own_id: str) -> str:
        return f"{self.where}, message {own_id}"
