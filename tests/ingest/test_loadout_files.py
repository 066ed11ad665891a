"""The folder of loadout files: what is read from it, and the errors for invalid files."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.loadout import Loadout
from memos_mcp.ingest.loadout_files import LoadoutFiles

pytestmark = pytest.mark.anyio

ID = "0197c2f4-8a35-7d5e-9b1c-2f60c1f0a9d4"
WHOLE = f"""\
role = "You maintain staging."
capabilities = ["network", "shell"]
namespaces = ["team", "runbooks"]
for = ["ops"]
[memories]
pinned = ["{ID}"]
search = ["deployment conventions"]
tokens = 700
[tools]
pinned = ["web.search"]
tokens = 0
"""


async def refusal(folder: Path, text: str | bytes) -> str:
    (folder / "x.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Invalid) as caught:
        await LoadoutFiles(folder).get("x", "team")
    return str(caught.value)


async def test_a_file_describes_an_agent(tmp_path: Path) -> None:
    (tmp_path / "staging.toml").write_text(WHOLE)
    assert await LoadoutFiles(tmp_path).get("staging", "ops") == Loadout(
        name="staging",
        role="You maintain staging.",
        capabilities=("network", "shell"),
        namespaces=("team", "runbooks"),
        admitted=("ops",),
        pinned_memories=(UUID(ID),),
        searches=("deployment conventions",),
        memory_tokens=700,
        pinned_tools=("web.search",),
        tool_tokens=0,
    )


async def test_an_empty_file_is_a_loadout_and_a_change_takes_effect_at_once(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf")
    assert await LoadoutFiles(tmp_path).get("x", "team") == Loadout("x")
    (tmp_path / "x.toml").write_bytes(b'role = "new"\r\n')
    assert await LoadoutFiles(tmp_path).get("x", "team") == Loadout("x", role="new")


async def test_the_error_for_a_missing_loadout_lists_those_for_this_connection(tmp_path: Path) -> None:
    for name, text in {
        "b": "",
        "a": 'for = ["team"]',
        "foreign": 'for = ["ops"]',
        "wide": 'namespaces = ["ops"]',
        "broken": "=",
        ".hidden": "",
    }.items():
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "notes.txt").write_text("")
    for name in ("c", "folder", "foreign", "wide"):
        with pytest.raises(NotFound) as caught:
            await LoadoutFiles(tmp_path).get(name, "team")
        assert str(caught.value) == f"No loadout '{name}' is for namespace 'team'. For it there are: a, b."


async def test_a_missing_folder_has_no_loadouts(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="For it there is none; a pack without a name needs none"):
        await LoadoutFiles(tmp_path / "nowhere").get("x", "team")


@pytest.mark.parametrize("name", ["../x", "..", "sub/x", "/etc/hosts", "x\x00"])
async def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.toml").write_text("")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.toml").write_text("")
    with pytest.raises(Invalid, match="without a path"):
        await LoadoutFiles(tmp_path / "sub").get(name, "team")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('role = "x', "x.toml: It is not TOML: Unterminated string (at line 1, column 10, the end)."),
        ("role = 'a'\nrole = 'b'", "x.toml: It is not TOML: Cannot overwrite a value (at line 2, column 11, the end)."),
        ("\n\n= 3", "x.toml: It is not TOML: Invalid statement (at line 3, column 1)."),
        (
            'capabilites = ["a"]',
            (
                "x.toml: Unknown key 'capabilites'. Did you mean 'capabilities'? "
                "Keys: role, capabilities, namespaces, for, memories, tools."
            ),
        ),
        (
            "[memories]\npins = []",
            (
                "x.toml: Unknown key 'memories.pins'. Did you mean 'memories.pinned'? "
                "Keys: memories.pinned, memories.search, memories.tokens."
            ),
        ),
        ("role = 3", "x.toml: role must be a string; got a number."),
        ('capabilities = "shell"', "x.toml: capabilities must be a list of strings; got a string."),
        ("capabilities = ['a', 1]", "x.toml: entry 2 of capabilities must be a string; got a number."),
        ("memories = true", "x.toml: memories must be a table, [memories]; got true or false."),
        ("[tools]\ntokens = 1.5", "x.toml: tools.tokens must be a whole number; got a number."),
        ("[tools]\ntokens = true", "x.toml: tools.tokens must be a whole number; got true or false."),
        ("[tools]\ntokens = -5", "x.toml: tools.tokens must be from 0 to 10,000."),
        ("role = 2026-05-01", "x.toml: role must be a string; got a date or time."),
        (
            "[memories]\npinned = ['7']",
            "x.toml: entry 1 of memories.pinned must be a memory_id, as a store or a query returned it; got '7'.",
        ),
        (b'role = "\xff"', "x.toml: It is not UTF-8 (line 1). Save it as UTF-8."),
        ("a = " + "[" * 5_000, "x.toml: It is not TOML that a loadout could be"),
        ("a = " + "9" * 5_000, "x.toml: It is not TOML that a loadout could be"),
    ],
)
async def test_the_error_for_an_invalid_file_names_the_position(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    assert (await refusal(tmp_path, text)).startswith(message)


async def test_a_file_of_ten_megabytes_is_rejected_without_reading_all_of_it(tmp_path: Path) -> None:
    with (tmp_path / "x.toml").open("wb") as file:
        file.truncate(10_000_000)
    with pytest.raises(Invalid, match="It has more than 64 KiB"):
        await LoadoutFiles(tmp_path).get("x", "team")


async def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.toml")
    with pytest.raises(NotFound):
        await LoadoutFiles(tmp_path).get("x", "team")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
async def test_the_error_for_an_unreadable_file_names_the_reason(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("")
    (tmp_path / "x.toml").chmod(0)
    with pytest.raises(Invalid, match=r"x.toml: It cannot be read: Permission denied\."):
        await LoadoutFiles(tmp_path).get("x", "team")


async def test_a_folder_that_the_system_refuses_is_an_error_of_the_request_and_lists_nothing(tmp_path: Path) -> None:
    files = LoadoutFiles(tmp_path / ("x" * 300))  # longer than a name may be, which root may not either
    with pytest.raises(Invalid, match=r"x\.toml cannot be read: File name too long\."):
        await files.get("x", "team")
    assert await files.names("team") == []
