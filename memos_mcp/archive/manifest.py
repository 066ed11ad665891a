"""The manifest of a backup: what the archive holds, and what makes sure that it is complete and unchanged."""

import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.record import RecordOutline, RecordTable

FORMAT: Final = "memos-as backup"
FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
TABLES: Final = "tables/"
LOADOUTS: Final = "loadouts/"

DAMAGED: Final = "This backup is damaged or incomplete ({problem}). Use another one; nothing was changed."
NO_BACKUP: Final = "{path} is not a complete backup of memos-as. Name a file that `memos-as backup` wrote."


class ArchivedTable(BaseModel):
    """A table in the archive, with the SHA-256 of its rows."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[str, ...]
    rows: int
    sha256: str

    @property
    def member(self) -> str:
        """The name of the file in the archive."""
        return f"{TABLES}{self.name}.copy"


class Manifest(BaseModel):
    """What `restore` checks before it changes anything. `loadouts`: the SHA-256 of each file, by its name."""

    model_config = ConfigDict(frozen=True)

    format: Literal["memos-as backup"] = FORMAT
    format_version: int = FORMAT_VERSION
    memos_version: str
    postgres_version: str
    created_at: datetime
    migrations: Mapping[str, str]
    sequences: Mapping[str, int]
    tables: tuple[ArchivedTable, ...]
    loadouts: Mapping[str, str]

    @property
    def outline(self) -> RecordOutline:
        """The same as the loader reads it."""
        tables = tuple(RecordTable(table.name, table.columns, table.rows) for table in self.tables)
        return RecordOutline(self.migrations, tables, self.sequences)

    def sealed(self) -> bytes:
        """Return the manifest as JSON, with a digest of itself."""
        fields = self.model_dump(mode="json")
        return json.dumps({**fields, "digest": _digest(fields)}, indent=1, ensure_ascii=False).encode()


def read_manifest(data: bytes) -> Manifest:
    """Return a manifest; raise `Invalid` when it was changed, or belongs to a format that this version cannot read."""
    try:
        fields = json.loads(data)
        digest = fields.pop("digest")
        version = fields["format_version"]
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        raise Invalid(DAMAGED.format(problem="its manifest cannot be read")) from None
    if version != FORMAT_VERSION:
        raise Invalid(
            f"This backup has format {version}, and this version of memos-as reads {FORMAT_VERSION}. "
            f"It was written by memos-as {fields.get('memos_version')}: install that version or a newer one."
        )
    if digest != _digest(fields):
        raise Invalid(DAMAGED.format(problem="its manifest was changed"))
    try:
        return Manifest.model_validate(fields)
    except ValidationError:
        raise Invalid(DAMAGED.format(problem="its manifest lacks fields")) from None


def _digest(fields: Mapping[str, object]) -> str:
    return sha256(json.dumps(fields, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
