"""A damaged export never fails: each part of it is imported, skipped or refused."""

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.foreign_formats.foreign_export import FORMATS
from memos_mcp.foreign_formats.names import FORMAT_NAMES
from tests.foreign_formats.damage import positions, replaced, values
from tests.foreign_formats.reading import EXPORTS, read

FILES = {
    "mem0": ["memories.json"],
    "mcp-memory-service": ["memories.json"],
    "chatgpt": ["conversations.json"],
    "claude": ["conversations.json", "memories.json", "projects/p-1.json"],
}


def test_the_command_line_offers_all_formats() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


@cache
def export(system: str, name: str) -> Any:
    return json.loads((EXPORTS / system / name).read_text())


@pytest.mark.parametrize(("system", "name"), [(system, name) for system, names in FILES.items() for name in names])
@given(data=st.data())
def test_an_export_with_any_value_anywhere_is_read_or_refused(system: str, name: str, data: st.DataObject) -> None:
    whole = export(system, name)
    path = data.draw(st.sampled_from(list(positions(whole))))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "export.json"
        file.write_text(json.dumps(replaced(whole, path, data.draw(values))))
        memories, skipped = read(system, file)
    for new in memories:
        new.check()
    assert all(entry.reason for entry in skipped)


@given(st.binary(max_size=100))
@pytest.mark.parametrize("system", FORMAT_NAMES)
def test_any_bytes_are_read_or_refused(system: str, data: bytes) -> None:
    with TemporaryDirectory() as folder, suppress(Invalid):
        file = Path(folder) / "export"
        file.write_bytes(data)
        for new in read(system, file)[0]:
            new.check()


@given(st.text(st.sampled_from("-[]()# \n\"'`*a:"), max_size=60))
@pytest.mark.parametrize("system", ["basic-memory", "markdown"])
def test_any_text_is_a_note_or_refused(system: str, text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "note.md"
        file.write_text(text)
        memories, skipped = read(system, file)
    assert memories or skipped
