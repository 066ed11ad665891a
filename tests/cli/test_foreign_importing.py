"""`memos-as import --from`: what is stored in a real home, and what is reported."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from memos_mcp.app import assemble
from memos_mcp.cli.command_line import main
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryQuery
from memos_mcp.domain.scope import Scope
from memos_mcp.settings import Settings
from tests.foreign_formats.reading import EXPORTS

STORED = {
    "server-memory": (4, "nothing"),
    "mem0": (3, "expired (1), replaced by newer memories (1)"),
    "mcp-memory-service": (2, "nothing"),
    "basic-memory": (7, "nothing"),
    "chatgpt": (
        5,
        "answers of tools (1), calls of tools (1), hidden messages (1), images (1), messages on other branches (1)",
    ),
    "claude": (8, "answers of tools (1), calls of tools (1), files without their text (1), reasoning (1)"),
    "markdown": (2, "files of other kinds (1)"),
}
"""The number of memories in the export of each format, and what is skipped."""


@pytest.fixture
def memos(
    home: Path, nothing_set: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> "Memos":
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", request.node.name)
    return Memos(capfd)


class Memos:
    """Runs commands in this process. `out` and `err` are the output lines of the last one."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        self.out: list[str] = []
        self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._capfd.readouterr()
        try:
            code: int | str | None = main(list(map(str, arguments)))
        except SystemExit as error:
            code = error.code
        printed = self._capfd.readouterr()
        self.out, self.err = printed.out.splitlines(), printed.err
        assert isinstance(code, int)
        return code


def stored(**conditions: Any) -> Sequence[Memory]:
    """Return the memories of this test's namespace in order."""

    async def read() -> list[Memory]:
        settings = Settings()
        app = assemble(settings)
        try:
            query = MemoryQuery(filter=MemoryFilter(**conditions), limit=100)
            page = await app.memories.query(Scope(settings.namespace, settings.agent_id), query)
        finally:
            await app.close()
        return sorted((hit.memory for hit in page.hits), key=lambda memory: (memory.occurred_at, memory.sequence))

    return anyio.run(read)


@pytest.mark.parametrize(("system", "count", "skipped"), [(system, *outcome) for system, outcome in STORED.items()])
def test_an_export_is_stored_once(memos: Memos, system: str, count: int, skipped: str) -> None:
    for outcome in ("created", "there already"):
        assert memos("import", "--from", system, "--no-wait", EXPORTS / system) == 0
        assert memos.out == [f"{count} memories {outcome}", f"skipped: {skipped}"]
    memories = stored()
    assert len(memories) == count
    assert {memory.metadata["imported_from"] for memory in memories} == {system}


def test_a_conversation_is_stored_with_its_roles_times_and_order(memos: Memos) -> None:
    assert memos("import", "--from", "chatgpt", "--no-wait", EXPORTS / "chatgpt" / "conversations.json") == 0
    messages = stored(session_id="chatgpt:c-1")
    assert [(memory.metadata["role"], memory.content, memory.occurred_at) for memory in messages] == [
        ("user", "Why is my starter flat?", datetime(2024, 5, 1, 10, 0, 1, tzinfo=UTC)),
        ("assistant", "Feed it twice a day.", datetime(2024, 5, 1, 10, 0, 1, tzinfo=UTC)),
        ("user", "Thank you.", datetime(2024, 5, 1, 10, 1, 40, 250_000, tzinfo=UTC)),
    ]
    assert {memory.kind for memory in messages} == {"episodic"}
    assert [memory.content for memory in stored(metadata={"role": "assistant"})] == [
        "Feed it twice a day.",
        "The user bakes on Sundays.",
    ]


def test_only_what_is_new_in_a_later_export_is_stored(memos: Memos, tmp_path: Path) -> None:
    first, second = json.loads((EXPORTS / "chatgpt" / "conversations.json").read_text())
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([second]))
    assert memos("import", "--from", "chatgpt", "--no-wait", file) == 0
    file.write_text(json.dumps([first, second]))
    assert memos("import", "--from", "chatgpt", "--no-wait", file) == 0
    assert memos.out[0] == "3 memories created, 2 memories there already"


def test_refused_parts_are_named_and_the_rest_is_stored(memos: Memos, tmp_path: Path) -> None:
    file = tmp_path / "\x1b[2Jmemory.jsonl"
    file.write_text('{"type": "entity", "name": "Ada", "entityType": "", "observations": ["sings"]}\n{"broken\n')
    assert memos("import", "--from", "server-memory", "--no-wait", file) == 1
    assert memos.out == ["1 memories created, 1 refused", "skipped: nothing"]
    assert r"\x1b[2Jmemory.jsonl: line 2: This is not JSON in UTF-8." in memos.err
    assert "\x1b[2J" not in memos.err


def test_a_path_without_an_export_is_an_error(memos: Memos, tmp_path: Path) -> None:
    assert memos("import", "--from", "chatgpt", tmp_path / "missing.zip") == 1
    assert memos.err == f"memos-as: {tmp_path / 'missing.zip'} cannot be read: No such file or directory.\n"
    assert memos("import", "--from", "chatgpt", tmp_path) == 1
    assert "has no file of this format, such as conversations.json" in memos.err
    assert memos("import", "--from", "notion", tmp_path) == 2
    assert memos("import", "--dry-run", tmp_path) == 1
    assert "--dry-run and --list-skipped need --from" in memos.err


@pytest.mark.parametrize("system", STORED)
def test_a_dry_run_stores_nothing_and_prints_lines_that_import_reads(
    memos: Memos, home: Path, tmp_path: Path, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMOS_HOME", str(tmp_path / "untouched"))
    assert memos("import", "--from", system, "--dry-run", EXPORTS / system) == 0
    count, skipped = STORED[system]
    assert memos.err.splitlines() == [
        f"{count} memories",
        f"skipped: {skipped}",
        "Nothing was stored: this was a dry run.",
    ]
    assert not (tmp_path / "untouched").exists()
    file = tmp_path / "memories.jsonl"
    file.write_text("\n".join(memos.out))

    monkeypatch.setenv("MEMOS_HOME", str(home))
    assert memos("import", "--no-wait", file) == 0
    assert memos.out == [f"{count} memories created"]
    assert memos("import", "--from", system, "--no-wait", EXPORTS / system) == 0
    assert memos.out[0] == f"{count} memories there already"


def test_everything_that_is_skipped_can_be_listed(memos: Memos) -> None:
    assert memos("import", "--from", "chatgpt", "--dry-run", "--list-skipped", EXPORTS / "chatgpt") == 0
    listed = [line for line in memos.err.splitlines() if line.startswith("skipped: conversations.json")]
    assert listed[0] == "skipped: conversations.json: conversation 1, message n3: messages on other branches"
    assert len(listed) == 5
