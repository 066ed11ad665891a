"""Projects past tasks to index entries."""

from collections.abc import Sequence

from memos_mcp.domain.experience import ExperienceStore, TaskRow
from memos_mcp.domain.index import Entry, ItemState, Passage
from memos_mcp.domain.index_rows import IndexedRows


class TaskProjection:
    """Past tasks: found by what they mean."""

    def __init__(self, store: ExperienceStore, rows: IndexedRows) -> None:
        self.store = store
        self.rows = rows

    def embedding_text(self, row: TaskRow) -> str:
        return row.task

    def lexical_text(self, row: TaskRow, passage: str) -> str:  # noqa: ARG002 - of the protocol
        return passage

    def entry(self, row: TaskRow, context: str | None, passages: Sequence[Passage]) -> Entry:
        return Entry(row.task_id, row.sequence, ItemState(1, context), row.namespace, passages)
