"""The command `seed`: what it registers, prints for each entry, and rejects."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest

from memos_mcp.app import assemble
from memos_mcp.cli import seeding
from memos_mcp.cli.command_line import main
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.tool import Tool, ToolQuery
from memos_mcp.settings import Settings

INITIAL = ("web.search", "todo.add", "todo.list", "todo.done")
TOOL = {
    "tool_id": "clock",
    "name": "Clock",
    "description": "Show the time of day.",
    "endpoint_url": "https://tools.example.com/clock",
}


@pytest.fixture
def memos(
    home: Path,
    nothing_set: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> "Memos":
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", request.node.name)
    return Memos(capsys)


class Memos:
    """Runs `seed` in this process. `out` and `err` are the output lines of the last run."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out: list[str] = []
        self.err: list[str] = []

    def seed(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = main(["seed", "--no-wait", *map(str, arguments)])
        printed = self._capsys.readouterr()
        self.out, self.err = printed.out.splitlines(), printed.err.splitlines()
        return code


def test_the_initial_tools_are_created_once(memos: Memos) -> None:
    assert memos.seed() == 0
    assert memos.out == [
        *(f"tools {number} ({name}): created" for number, name in enumerate(INITIAL, start=1)),
        "4 created, 0 updated, 0 unchanged",
    ]
    assert memos.seed() == 0
    assert memos.out[-1] == "0 created, 0 updated, 4 unchanged"
    assert all(line.endswith(": unchanged") for line in memos.out[:-1])


def test_the_initial_tools_get_the_endpoints_of_the_settings(memos: Memos, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memos.seed() == 0
    assert endpoints(registered()) == {
        "web.search": "http://127.0.0.1:8801/search",
        "todo.add": "http://127.0.0.1:8802/items",
        "todo.list": "http://127.0.0.1:8802/items",
        "todo.done": "http://127.0.0.1:8802/items/done",
    }
    monkeypatch.setenv("MEMOS_TODO_URL", "https://todo.example.com/mine/")
    assert memos.seed() == 0
    assert memos.out[-1] == "0 created, 3 updated, 1 unchanged"
    assert endpoints(registered())["todo.done"] == "https://todo.example.com/mine/done"

    monkeypatch.setenv("MEMOS_TODO_URL", "todo.example.com")
    assert memos.seed() == 1
    assert memos.out[-1] == "0 created, 0 updated, 1 unchanged, 3 refused"
    assert memos.err[0].startswith("tools 2 (todo.add): MEMOS_TODO_URL: endpoint_url must start with http://")


def test_every_initial_tool_has_full_schemas_and_requires_a_capability() -> None:
    (path,) = Path(seeding.__file__).parents[1].glob("seeds/*.toml")
    tools = tomllib.loads(path.read_text())["tools"]
    assert tuple(tool["tool_id"] for tool in tools) == INITIAL
    for tool in tools:
        assert tool["required_capabilities"]
        for schema in (tool["request_schema"], tool["response_schema"]):
            assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
        assert all(parameter["description"] for parameter in tool["request_schema"]["properties"].values())
        assert tool["request_schema"]["additionalProperties"] is False


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_file_of_tools_and_memories_is_stored_once_and_updated_when_it_changes(
    memos: Memos, tmp_path: Path, form: str
) -> None:
    file = tmp_path / f"seeds.{form}"
    write(file, TOOL)
    assert memos.seed(file) == 0
    assert memos.out == [
        "tools 1 (clock): created",
        "memories 1 (Mara reads answers on her phone.): created",
        "2 created, 0 updated, 0 unchanged",
    ]
    write(file, {**TOOL, "description": "Show the time and the date."})
    assert memos.seed(file) == 0
    assert memos.out[-1] == "0 created, 1 updated, 1 unchanged"
    assert registered()["clock"].description == "Show the time and the date."


def test_invalid_entries_are_reported_with_position_and_reason_and_the_others_stored(
    memos: Memos, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.json"
    tools = [
        {**TOOL, "endpoint_url": "ftp://x"},
        TOOL,
        "not a table",
        {**TOOL, "name": "Another Clock"},
        {**TOOL, "tool_id": "stopwatch", "endpoint_url": "${MEMOS_TODO_URI}"},
        {**TOOL, "tool_id": "\x1b[2Jerased", "request_schema": {"type": "nonsense"}},
    ]
    memories = [
        {"contents": "misspelt"},
        {"content": "The staging database moved.", "occurred_at": "2026-05-01T10:00:00"},
        {"content": "A correction of nothing.", "supersedes": "6f2b62a4-6f3c-4f0e-9d5b-8a4c5f2f0e11"},
        {"content": "The last one is fine."},
    ]
    file.write_text(json.dumps({"tools": tools, "memories": memories}))

    assert memos.seed(file) == 1
    assert memos.out == [
        "tools 2 (clock): created",
        "memories 4 (The last one is fine.): created",
        "2 created, 0 updated, 0 unchanged, 8 refused",
    ]
    reported = dict(line.split(": ", 1) for line in memos.err)
    assert reported.keys() == {
        "tools 1 (clock)",
        "tools 3",
        "tools 4 (clock)",
        "tools 5 (stopwatch)",
        "tools 6 (?[2Jerased)",
        "memories 1",
        "memories 2 (The staging database moved.)",
        "memories 3 (A correction of nothing.)",
    }
    assert reported["tools 1 (clock)"].startswith("endpoint_url must start with http")
    assert reported["tools 4 (clock)"] == "tools 2 (clock) has the same tool_id."
    assert "Unknown setting 'MEMOS_TODO_URI'" in reported["tools 5 (stopwatch)"]
    assert "Did you mean 'content'?" in reported["memories 1"]
    assert "no time zone" in reported["memories 2 (The staging database moved.)"]
    assert "no live memory with this id" in reported["memories 3 (A correction of nothing.)"]
    assert memos.seed(file) == 1
    assert memos.out[-1] == "0 created, 0 updated, 2 unchanged, 8 refused"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.toml", b'[[tools]]\ntool_id = "x\n', "cannot be read: Illegal character '\\n' (at line 2, column 13)."),
        ("a.toml", b"[[tools]]\ntool_id =", "cannot be read: Invalid value (at line 2, column 10, the end)."),
        ("a.json", b'{"tools": [\n  {"tool_id": x}]}', "cannot be read: Expecting value (at line 2, column 15)."),
        ("a.json", b"", "cannot be read: Expecting value (at line 1, column 1)."),
        ("a.json", b'{"tools": [], "tools": []}', 'the name "tools" occurs twice in one object.'),
        ("a.json", b'{"tools": [' + b"9" * 5_000 + b"]}", "it holds a number of too many digits."),
        ("a.json", b"[" * 200_000, "is nested too deep."),
        ("a.toml", b"a = " + b"[" * 200_000, "is nested too deep."),
        ("a.toml", '[[tools]]\nname = "ä'.encode() + b'\xff"', "is not UTF-8 (at line 2, column 10)."),
        ("a.json", b"[]", "is not an object with the lists tools and memories."),
        ("a.toml", b'[tool]\nname = "x"', "Unknown section 'tool'. Did you mean 'tools'? Sections: tools, memories."),
        ("a.toml", b'[tools]\nname = "x"', "tools is not a list; in TOML each entry begins with [[tools]]."),
        ("a.yaml", b"tools: []", "is neither .toml nor .json: a seed file is one of these."),
    ],
)
def test_an_invalid_file_is_reported_with_the_position(
    memos: Memos, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    assert memos.seed(tmp_path / name) == 1
    (line,) = memos.err
    assert line.startswith(f"memos-as: {tmp_path / name}")
    assert line.endswith(message)
    assert memos.out == []


def test_a_missing_file_and_a_folder_are_reported(memos: Memos, tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name, reason in {"missing.toml": "No such file or directory", "folder.toml": "Is a directory"}.items():
        assert memos.seed(tmp_path / name) == 1
        assert memos.err == [f"memos-as: {tmp_path / name} cannot be read: {reason}."]


def test_a_huge_file_is_rejected_without_reading_all_of_it(memos: Memos, tmp_path: Path) -> None:
    with (tmp_path / "huge.json").open("wb") as file:
        file.truncate(2**30)
    assert memos.seed(tmp_path / "huge.json") == 1
    assert memos.err == [
        f"memos-as: {tmp_path / 'huge.json'} has more than 16 MiB. Use memos-as import for large files."
    ]


def registered() -> Mapping[str, Tool]:
    """Return the tools of this test's namespace from the database."""

    async def read() -> dict[str, Tool]:
        settings = Settings()
        app = assemble(settings)
        try:
            page = await app.tools.discover(Scope(settings.namespace, settings.agent_id), ToolQuery(limit=50))
        finally:
            await app.close()
        return {hit.tool.tool_id: hit.tool for hit in page.hits}

    return anyio.run(read)


def endpoints(tools: Mapping[str, Tool]) -> dict[str, str]:
    return {name: tool.endpoint_url for name, tool in tools.items()}


def write(file: Path, tool: Mapping[str, Any]) -> None:
    """Write a seed file; the time of the memory is a date-time in TOML and a text in JSON."""
    content, time = "Mara reads answers on her phone.", "2026-05-01T10:00:00Z"
    if file.suffix == ".json":
        memory = {"content": content, "occurred_at": time}
        file.write_text(json.dumps({"tools": [tool], "memories": [memory]}))
    else:
        values = "".join(f"{name} = {json.dumps(value)}\n" for name, value in tool.items())
        file.write_text(f'[[tools]]\n{values}\n[[memories]]\ncontent = "{content}"\noccurred_at = {time}\n')
