"""A backup is complete under its name or does not exist, and what is damaged is refused."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import anyio
import pytest

from memos_mcp.archive.archive_reader import opened_archive
from memos_mcp.archive.archive_writer import write_archive
from memos_mcp.archive.manifest import MANIFEST, read_manifest
from memos_mcp.archive.new_file import new_file
from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.domain.record import RecordOutline, RecordTable, Write
from tests.small_disk import filled, small_disk

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TABLE = RecordTable("notes", ("id", "text"), 3)
ROWS = [b"1\tone\n2\tt", b"wo\n3\tthree\\n\n"]
LOADOUT = b'role = "writer"\n'


class Notes:
    """A record of one table."""

    outline = RecordOutline({"0001_notes": "sum"}, (TABLE,), {"notes_id_seq": 3})

    async def copy_rows(self, table: RecordTable, write: Write) -> None:
        assert table == TABLE
        for chunk in ROWS:
            await write(chunk)


def ignore(_rows: int) -> None:
    pass


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "notes.backup"
    with new_file(path) as file:
        anyio.run(write_archive, file, Notes(), {"writer.toml": LOADOUT}, "18.1", NOW, ignore)
    return path


def rewritten(backup: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Write the archive again with other contents, as somebody with a zip program would."""
    with ZipFile(backup) as file:
        members = {name: change(name, file.read(name)) for name in file.namelist()}
    with ZipFile(backup, "w", ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return backup


def verify(path: Path) -> None:
    with opened_archive(path) as archive:
        archive.verify(ignore)


@pytest.mark.anyio
async def test_a_backup_is_read_as_it_was_written(backup: Path) -> None:
    counted, found = list[int](), list[bytes]()

    async def write(chunk: bytes) -> None:
        found.append(chunk)

    with opened_archive(backup) as archive:
        archive.verify(counted.append)
        await archive.copy_rows(TABLE, write)
        assert archive.outline == Notes.outline
        assert archive.loadout("writer.toml") == LOADOUT
        assert archive.manifest.created_at == NOW
    assert b"".join(found) == b"".join(ROWS)
    assert sum(counted) == 3


def test_a_backup_is_private(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600


@pytest.mark.anyio
async def test_a_backup_is_written_to_a_pipe(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):
        written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]  # the stub of RawIOBase names no type
            return len(bytes(data))  # type: ignore[call-overload]  # the same

    pipe = Pipe()
    await write_archive(io.BufferedWriter(pipe), Notes(), {}, "18.1", NOW, ignore)
    piped = tmp_path / "piped"
    piped.write_bytes(pipe.written)
    verify(piped)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.99])
def test_a_backup_that_was_cut_off_is_refused(backup: Path, share: float) -> None:
    data = backup.read_bytes()
    backup.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Invalid, match="is not a complete backup of memos-as"):
        verify(backup)


def test_no_byte_of_a_backup_can_change_unnoticed(backup: Path) -> None:
    data = backup.read_bytes()
    with opened_archive(backup) as archive:
        expected = archive.manifest
    for position in range(len(data)):
        backup.write_bytes(data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :])
        try:
            verify(backup)
        except Invalid:
            continue
        with opened_archive(backup) as archive:  # a time or an attribute of the zip format, which nothing uses
            assert archive.manifest == expected


@pytest.mark.parametrize(
    ("member", "old", "new", "message"),
    [
        ("tables/notes.copy", b"two", b"2", "the rows of notes differ from the manifest"),
        ("loadouts/writer.toml", b"writer", b"reader", "writer.toml differs from the manifest"),
        (MANIFEST, b'"rows": 3', b'"rows": 2', "its manifest was changed"),
        (MANIFEST, b'"digest"', b'"signature"', "its manifest cannot be read"),
        (MANIFEST, b"{", b"", "its manifest cannot be read"),
    ],
)
def test_a_changed_backup_is_refused(backup: Path, member: str, old: bytes, new: bytes, message: str) -> None:
    rewritten(backup, lambda name, content: content.replace(old, new, 1) if name == member else content)
    with pytest.raises(Invalid, match=f"damaged or incomplete .{message}.*nothing was changed"):
        verify(backup)


def test_a_manifest_of_a_newer_format_names_the_version_to_install() -> None:
    text = json.dumps({"format_version": 2, "memos_version": "9.1", "digest": ""})
    with pytest.raises(Invalid, match=r"has format 2.*written by memos-as 9\.1: install that version or a newer one"):
        read_manifest(text.encode())


def test_any_other_file_is_no_backup(tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with ZipFile(other, "w") as file:
        file.writestr("notes.txt", "notes")
    with pytest.raises(Invalid, match="is not a complete backup of memos-as"):
        verify(other)
    with pytest.raises(Invalid, match="cannot be read: No such file or directory"):
        verify(tmp_path / "missing")


def test_a_file_that_was_not_finished_keeps_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    writing = new_file(path)
    writing.__enter__().write(b"after")
    assert not writing.__exit__(RuntimeError, RuntimeError(), None)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    with small_disk(tmp_path, 1) as disk, filled(disk, keep=100_000):
        with pytest.raises(Unavailable, match="its disk is full"), new_file(disk / "file") as file:
            file.write(bytes(500_000))
        assert [path.name for path in disk.iterdir()] == ["filling"]
