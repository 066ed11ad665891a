"""Notes: any folder of Markdown, and the notes of Basic Memory."""

import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.foreign_formats.reading import EXPORTS, contents, read, refusals


def test_notes_have_the_title_tags_and_time_of_their_front_matter_or_name() -> None:
    memories, skipped = read("markdown", EXPORTS / "markdown")
    daily, garden = memories[1], memories[0]
    assert contents(memories) == ["Garden log\n\nThe pond froze in January.", "2025-07-08\n\nPicked the first beans."]
    assert list(garden.tags) == ["garden", "plants"]
    assert garden.metadata == {
        "imported_from": "markdown",
        "status": "open",
        "title": "Garden log",
        "path": "garden.md",
    }
    assert garden.occurred_at == datetime(2025, 4, 5, 4, 7, 8, tzinfo=UTC)
    assert daily.occurred_at == datetime(2025, 7, 8, tzinfo=UTC)
    assert [(entry.where, entry.reason) for entry in skipped] == [("todo.txt", "files of other kinds")]


def test_a_note_without_a_date_has_the_time_of_its_file_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".trash").mkdir()
    for name in (".trash/old.md", ".hidden.md", "2024-99-99.md"):
        (tmp_path / name).write_text("# Tea\r\n\r\nGreen.\r\n")
    os.utime(tmp_path / "2024-99-99.md", (1_735_689_600, 1_735_689_600))
    (new,), _ = read("markdown", tmp_path)
    assert new.content == "2024-99-99\n\n# Tea\n\nGreen."
    assert new.occurred_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_an_archive_of_notes_is_read_without_its_hidden_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "vault.zip", "w") as archive:
        for name in ("vault/tea.md", "vault/.trash/old.md", "__MACOSX/vault/._tea.md", "vault/.obsidian/app.json"):
            archive.writestr(name, "Green.")
    memories, skipped = read("markdown", tmp_path / "vault.zip")
    assert [(new.content, new.metadata["path"], new.occurred_at) for new in memories] == [
        ("tea\n\nGreen.", "vault/tea.md", None)
    ]
    assert skipped == []


def test_the_memories_of_a_long_note_are_a_session(tmp_path: Path) -> None:
    file = tmp_path / "tea.md"
    file.write_text(
        "---\npermalink: drinks/tea\n---\n" + "".join(f"## Kind {n}\n{'Steep it. ' * 99}\n" for n in range(4))
    )
    memories, _ = read("markdown", file)
    assert [new.content.split("\n")[0] for new in memories] == ["tea"] * 4
    assert {new.session_id for new in memories} == {"markdown:drinks/tea"}


def test_the_values_of_front_matter_stay_as_written(tmp_path: Path) -> None:
    file = tmp_path / "n.md"
    file.write_text("---\nversion: 1.10\nagreed: no\nday: 2024-05-01\nempty:\nlist: [1, {a: yes}]\n...\nBody.")
    (new,), _ = read("markdown", file)
    assert {name: new.metadata[name] for name in ("version", "agreed", "day", "list")} == {
        "version": "1.10",
        "agreed": "no",
        "day": "2024-05-01",
        "list": ["1", {"a": "yes"}],
    }
    assert "empty" not in new.metadata


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("---\ntitle: [\n---\nx", "The front matter is not YAML (line 3, column 1). Correct it."),
        ("---\n- a\n- b\n---\nx", "The front matter is no list of `name: value`. Correct it."),
        ("---\na: &x [1]\nb: [*x, *x]\n---\nx", "The front matter has aliases"),
        ("---\n? {a: 1}\n: 1\n---\nx", "The front matter is not YAML"),
        ("---\na: " + "[" * 5_000 + "]" * 5_000 + "\n---\nx", "The front matter is nested more than 64 levels deep."),
        ("---\na: \x01\n---\nx", "The front matter is not YAML"),
        ("---\ntags: {a: b}\n---\nx", "tags is no list of texts."),
    ],
)
@pytest.mark.parametrize("system", ["markdown", "basic-memory"])
def test_front_matter_that_cannot_be_read_refuses_the_note(
    tmp_path: Path, system: str, text: str, message: str
) -> None:
    (tmp_path / "bad.md").write_text(text)
    (tmp_path / "good.md").write_text("Green tea.")
    memories, skipped = read(system, tmp_path)
    assert contents(memories) == ["good\n\nGreen tea."]
    ((where, reason),) = refusals(skipped)
    assert where == "bad.md"
    assert message in reason


@pytest.mark.parametrize("system", ["markdown", "basic-memory"])
@pytest.mark.parametrize("body", ["Green tea.", "- [kind] green"])
def test_a_date_that_cannot_be_read_stays_in_the_metadata(tmp_path: Path, system: str, body: str) -> None:
    file = tmp_path / "n.md"
    file.write_text(f"---\ncreated: last May\ndate: 2026-05-06 07:08:09 +0200\n---\n{body}")
    (new,), skipped = read(system, file)
    assert new.metadata["created"] == "last May"
    assert "date" not in new.metadata
    assert new.occurred_at == datetime(2026, 5, 6, 5, 8, 9, tzinfo=UTC)
    assert [(entry.reason, entry.refused) for entry in skipped] == [("dates that cannot be read", False)]


@pytest.mark.parametrize("system", ["markdown", "basic-memory"])
def test_other_files_and_empty_notes_are_reported(tmp_path: Path, system: str) -> None:
    (tmp_path / "empty.md").write_text("---\ntitle: Nothing\n---\n\n")
    (tmp_path / "latin.md").write_bytes(b"caf\xe9")
    (tmp_path / "photo.png").write_bytes(b"")
    memories, skipped = read(system, tmp_path)
    assert memories == []
    assert [(entry.where, entry.reason) for entry in skipped] == [
        ("photo.png", "files of other kinds"),
        ("empty.md", "notes without text"),
        ("latin.md", "This is not UTF-8. Save it as UTF-8."),
    ]


def test_observations_and_relations_of_basic_memory_are_memories_of_their_own() -> None:
    memories, skipped = read("basic-memory", EXPORTS / "basic-memory")
    assert skipped == []
    assert contents(memories) == [
        "Coffee: [method] Pour over is clearer than a press #brewing (tasted twice)",
        "Coffee: Soft water helps #water",
        "Coffee relates to Coffee Beans.",
        "Coffee based on Customer Interview (May).",
        "Coffee links to Tea.",
        "# Coffee\n\nWe changed the grinder in spring.\n\n## Observations\n- [ ] buy filters",
        "roaster: [decision] Buy from the roaster in Ghent",
    ]
    assert list(memories[0].tags) == ["method", "brewing", "drinks", "morning"]
    assert memories[0].metadata["category"] == "method"
    assert [new.metadata.get("relation") for new in memories[2:5]] == ["relates_to", "based on", "links_to"]
    assert {new.metadata.get("permalink") for new in memories[:6]} == {"coffee"}
    assert {new.occurred_at for new in memories[:6]} == {datetime(2026, 2, 3, tzinfo=UTC)}


@pytest.mark.parametrize(
    "line",
    [
        "- [ ] a task #later",
        "- [x] done",
        "- [>] moved on",
        "- [00:11] somebody speaks",
        "- [text](https://example.com)",
        "- plain",
        "- we should see [[Tea]] again",
        "> [!info] a callout",
        "```\n- [tech] in code #x\n```",
    ],
)
def test_other_lines_of_basic_memory_stay_prose(tmp_path: Path, line: str) -> None:
    (tmp_path / "n.md").write_text(f"Intro.\n\n{line}\n")
    (new,), _ = read("basic-memory", tmp_path / "n.md")
    assert new.content == f"n\n\nIntro.\n\n{line}"
