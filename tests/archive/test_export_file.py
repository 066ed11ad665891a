"""The file of an export is checked as a whole before anything of it is stored."""

import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from memos_mcp.archive.export_file import Members, check_export, first_line, is_export, last_line
from memos_mcp.domain.errors import Invalid

MEMBERS = {
    "note": Members(frozenset({"namespace", "sequence", "text"}), frozenset({"author"})),
    "vector": Members(frozenset({"vector"})),
    "forgotten": Members(frozenset({"id", "namespace", "stored"})),
}
FORGOTTEN = '{"type": "forgotten", "id": "i", "namespace": "a", "stored": {"id": "i", "namespace": "a", "sequence": 9}}'
NOTE = '{"type": "note", "namespace": "a", "sequence": 7, "text": "ä"}'
NOW = datetime(2026, 5, 1, tzinfo=UTC)


def file_of(*lines: str, end: int | None = None) -> io.BytesIO:
    last = last_line(len(lines) if end is None else end)
    return io.BytesIO("".join(f"{line}\n" for line in (first_line(["a"], NOW), *lines, last)).encode())


def test_a_file_is_described() -> None:
    lines = ('{"type": "vector", "vector": "x"}', NOTE, NOTE.replace("7", "5"), FORGOTTEN)
    contents = check_export(file_of(*lines), MEMBERS)
    assert contents.namespaces == {"a"}
    assert contents.lines == {"vector": 1, "note": 2, "forgotten": 1}
    assert (contents.last["note"], contents.last["forgotten"]) == (7, 9)


def test_a_member_that_older_versions_lack_may_be_there_or_not() -> None:
    newer = NOTE.replace('"text"', '"author": "Ann", "text"')
    assert check_export(file_of(NOTE, newer), MEMBERS).lines == {"note": 2}


@pytest.mark.parametrize("text", ["", "x", "[]", "1", '{"content": "x"}', '{"format": "other"}', "\xff", "[" * 5_000])
def test_other_files_are_no_exports(text: str) -> None:
    assert not is_export(text.encode("latin-1"))


@pytest.mark.parametrize("change", [("{", "{"), (": ", ":"), ("{", " {\n ")])
def test_an_export_is_recognised_by_its_first_line(change: tuple[str, str]) -> None:
    assert is_export(first_line(["a"], NOW).replace(*change).encode())


def test_an_export_from_a_pipe_says_what_to_do() -> None:
    reading, writing = os.pipe()
    os.write(writing, file_of(NOTE).getvalue())
    os.close(writing)
    with os.fdopen(reading, "rb") as file, pytest.raises(Invalid, match="Save it to a file and import that"):
        check_export(file, MEMBERS)


def test_a_newer_format_names_the_version_to_install() -> None:
    text = json.dumps({"format": "memos-as export", "version": 2, "memos_version": "9.1"})
    with pytest.raises(Invalid, match=r"has format 2.*memos-as 9\.1: install that version or a newer one"):
        check_export(io.BytesIO(text.encode()), MEMBERS)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"type": "note"}'], r"line 2: the note lacks 'namespace'\. Nothing was changed"),
        ([NOTE, NOTE.replace("text", "words")], r"line 3: the note lacks 'text'"),
        ([NOTE.replace("{", '{"zeal": 1, ')], r"line 2: the note has the unknown member 'zeal'"),
        (['{"type": "poem"}'], r"line 2: the type 'poem' is unknown"),
        (['{"type": 3}'], r"line 2: this is no line of an export"),
        (["{"], r"line 2: this is no line of an export"),
        ([NOTE.replace('"a"', "5")], r"line 2: the namespace is no string"),
        ([NOTE.replace("7", "1e3")], r"line 2: the sequence is not a number"),
        ([NOTE.replace("7", str(2**63))], r"line 2: the sequence is not a number"),
        ([FORGOTTEN.replace('"a"', '"b"', 1)], r"line 2: what is stored has another id or namespace"),
        ([FORGOTTEN.replace('"i"', '"k"', 1)], r"line 2: what is stored has another id or namespace"),
        ([NOTE, last_line(1)], r"line 4: this follows the last line"),
    ],
)
def test_the_first_wrong_line_is_named(lines: Sequence[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_export(file_of(*lines), MEMBERS)


def test_a_file_that_was_cut_off_is_refused() -> None:
    data = file_of(NOTE, NOTE).getvalue()
    for length in range(data.index(b"\n") + 1, data.rindex(b"{")):
        with pytest.raises(Invalid, match=r"cut off|no line of an export"):
            check_export(io.BytesIO(data[:length]), MEMBERS)


def test_a_file_that_lacks_lines_says_what_to_do() -> None:
    with pytest.raises(Invalid, match=r"names 2 lines, and there are 1\. .*correct the number if you have removed"):
        check_export(file_of(NOTE, end=2), MEMBERS)
