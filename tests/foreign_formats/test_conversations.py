"""The conversations of ChatGPT and Claude."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MAX_CONTENT_BYTES
from tests.foreign_formats.reading import EXPORTS, contents, read, refusals, values

CHATGPT = EXPORTS / "chatgpt" / "conversations.json"
CLAUDE = EXPORTS / "claude"


def at(*time: int) -> datetime:
    return datetime(*time, tzinfo=UTC)  # type: ignore[misc,arg-type]  # the numbers of a time


def conversation(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Return an export with one conversation whose messages follow one another."""
    nodes = {
        f"n{number}": {"id": f"n{number}", "parent": f"n{number - 1}", "message": message}
        for number, message in enumerate(messages)
    }
    return [{"id": "c", "current_node": f"n{len(messages) - 1}", "mapping": nodes, **fields}]


def message(*parts: Any, role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, **fields}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_the_shown_branch_is_imported_with_sessions_roles_and_times() -> None:
    memories, skipped = read("chatgpt", CHATGPT)
    assert contents(memories) == [
        "Why is my starter flat?",
        "Feed it twice a day.",
        "Thank you.",
        "Remember that I bake on Sundays.",
        "The user bakes on Sundays.",
    ]
    assert values(memories, "role") == ["user", "assistant", "user", "user", "assistant"]
    assert values(memories, "chatgpt_id") == ["n2", "n6", "n7", "a1", "a2"]
    assert values(memories, "conversation") == ["Sourdough"] * 3 + [None] * 2
    assert [new.session_id for new in memories] == ["chatgpt:c-1"] * 3 + ["chatgpt:c-2"] * 2
    assert [new.occurred_at for new in memories] == [
        at(2024, 5, 1, 10, 0, 1),
        at(2024, 5, 1, 10, 0, 1),  # it has none, so that of the message before it
        at(2024, 5, 1, 10, 1, 40, 250_000),
        at(2024, 5, 2, 10, 0, 1),
        at(2024, 5, 2, 10, 0, 2),
    ]
    assert sorted((entry.where.rpartition(" ")[2], entry.reason) for entry in skipped) == [
        ("n1", "hidden messages"),
        ("n2", "images"),
        ("n3", "messages on other branches"),
        ("n4", "calls of tools"),
        ("n5", "answers of tools"),
    ]
    assert refusals(skipped) == []


def test_an_archive_and_split_files_are_read_as_one_file(tmp_path: Path) -> None:
    first, second = json.loads(CHATGPT.read_text())
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/conversations-001.json", json.dumps([second]))
        archive.writestr("export/conversations-000.json", json.dumps({"conversations": [first]}))
        archive.writestr("export/file-1.png", b"\x89PNG")
        archive.writestr("__MACOSX/export/._conversations-000.json", b"")
    memories, skipped = read("chatgpt", tmp_path / "export.zip")
    assert memories == read("chatgpt", CHATGPT)[0]
    assert skipped[0].reason == "files of other kinds"
    assert refusals(skipped) == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (message("x", role="system"), "messages of the role system"),
        (message("x", metadata={"is_user_system_message": True}), "custom instructions"),
        (
            {**message("x"), "content": {"content_type": "user_editable_context", "user_profile": "x"}},
            "custom instructions",
        ),
        ({**message(role="assistant"), "content": {"content_type": "thoughts", "thoughts": []}}, "reasoning"),
        (message("x", role="assistant", channel="analysis"), "reasoning"),
        (message({"content_type": "audio_asset_pointer"}), "audio"),
        (message({"content_type": "real_time_user_audio_video_asset_pointer"}), "audio"),
        (message({"content_type": "hologram"}), "parts of the type hologram"),
        (message(""), "messages without text"),
        (message(), "messages without text"),
    ],
)
def test_what_is_no_text_of_the_conversation_is_skipped_with_a_reason(
    tmp_path: Path, given: dict[str, Any], reason: str
) -> None:
    file = write(tmp_path / "conversations.json", conversation(given, message("Kept.")))
    memories, skipped = read("chatgpt", file)
    assert contents(memories) == ["Kept."]
    assert [(entry.reason, entry.refused) for entry in skipped] == [(reason, False)]


def test_a_transcript_of_audio_is_text(tmp_path: Path) -> None:
    recorded = message(
        {"content_type": "audio_transcription", "text": "Good morning."}, {"content_type": "audio_asset_pointer"}
    )
    memories, _ = read("chatgpt", write(tmp_path / "conversations.json", conversation(recorded)))
    assert contents(memories) == ["Good morning."]


def test_without_a_current_node_the_branch_of_the_last_message_is_shown(tmp_path: Path) -> None:
    export = conversation(message("One."), message("Two."), current_node=None)
    memories, skipped = read("chatgpt", write(tmp_path / "conversations.json", export))
    assert (contents(memories), skipped) == (["One.", "Two."], [])


def test_a_circle_of_parents_ends(tmp_path: Path) -> None:
    export = conversation(message("One."), message("Two."))
    export[0]["mapping"]["n0"]["parent"] = "n1"
    memories, _ = read("chatgpt", write(tmp_path / "conversations.json", export))
    assert contents(memories) == ["One.", "Two."]


def test_a_message_that_no_memory_can_hold_is_split_and_nothing_of_it_lost(tmp_path: Path) -> None:
    long = "".join(f"Line {number} of a long text.\n" for number in range(20_000))
    export = conversation(message(long), message("After it."))
    memories, skipped = read("chatgpt", write(tmp_path / "conversations.json", export))
    parts, last = memories[:-1], memories[-1]
    assert "".join(contents(parts)) == long
    assert [new.metadata["part"] for new in parts] == list(range(1, parts[0].metadata["parts"] + 1))
    assert all(len(new.content.encode()) <= MAX_CONTENT_BYTES for new in parts)
    assert (last.content, skipped) == ("After it.", [])


@pytest.mark.parametrize(
    ("export", "message"),
    [
        ([5], "The conversation has no id, or no mapping with its messages."),
        ([{"id": "c", "mapping": []}], "The conversation has no id, or no mapping with its messages."),
        ([{"mapping": {}}], "The conversation has no id, or no mapping with its messages."),
        ([{"id": "c", "mapping": {}, "create_time": "soon"}], "create_time is not a time: 'soon'."),
        (conversation(message("x", create_time="soon")), "create_time is not a time: 'soon'."),
        (conversation(message("a\x00b")), "content holds a NUL character"),
        ({"chats": []}, "an object without any of these lists: conversations."),
    ],
)
def test_invalid_conversations_are_refused(tmp_path: Path, export: Any, message: str) -> None:
    memories, skipped = read("chatgpt", write(tmp_path / "conversations.json", export))
    assert memories == []
    ((_, reason),) = refusals(skipped)
    assert message in reason


def test_a_damaged_or_foreign_archive_is_refused(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(damaged, "w") as archive:
        archive.writestr("conversations.json", CHATGPT.read_text())
    data = bytearray(damaged.read_bytes())
    data[200] ^= 0xFF
    damaged.write_bytes(data)
    _, skipped = read("chatgpt", damaged)
    assert any("cannot be read: Bad CRC-32" in reason for _, reason in refusals(skipped))

    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat.png", b"")
    with pytest.raises(Invalid, match="has no file of this format, such as conversations"):
        read("chatgpt", tmp_path / "photos.zip")
    with pytest.raises(Invalid, match="cannot be read: No such file or directory"):
        read("chatgpt", tmp_path / "missing.zip")


def test_claude_has_messages_with_attachments_projects_and_its_memory() -> None:
    memories, skipped = read("claude", CLAUDE)
    assert contents(memories) == [
        "What grows in shade?",
        "plan.txt\n\nThe north bed is in shade.",
        "Ferns do.",
        "Claude's memory\n\n**Work**\n\nRuns a small nursery.",
        "Claude's memory of the project p-1\n\nPrefers native plants.",
        "Nursery: Plans for the nursery",
        "Instructions of the project Nursery:\n\nAnswer in Latin names.",
        "stock.md\n\nTwelve ferns.",
    ]
    assert values(memories, "role") == ["user", "user", "assistant"] + [None] * 5
    assert values(memories, "attachment")[:3] == [None, "plan.txt", None]
    assert [new.session_id for new in memories] == ["claude:k-1"] * 3 + [None] * 5
    assert [new.occurred_at for new in memories] == [
        at(2025, 6, 1, 8, 0, 1),
        at(2025, 6, 1, 8, 0, 1),
        at(2025, 6, 1, 8, 0, 9),
        None,
        None,
        at(2025, 5, 1),
        at(2025, 5, 1),
        at(2025, 5, 2),
    ]
    assert [new.kind for new in memories] == ["episodic"] * 3 + ["semantic"] * 3 + ["procedural", "semantic"]
    assert [entry.reason for entry in skipped] == [
        "files without their text",
        "reasoning",
        "calls of tools",
        "answers of tools",
    ]


def test_the_text_of_an_old_claude_message_and_the_shown_branch_are_read(tmp_path: Path) -> None:
    messages = [
        {"uuid": "1", "sender": "human", "text": "First."},
        {"uuid": "2", "sender": "assistant", "text": "Replaced.", "parent_message_uuid": "1"},
        {"uuid": "3", "sender": "assistant", "text": "Shown.", "parent_message_uuid": "1"},
    ]
    export = {"uuid": "k", "created_at": "2025-06-01T08:00:00Z", "chat_messages": messages}
    memories, skipped = read("claude", write(tmp_path / "one.json", {**export, "current_leaf_message_uuid": "3"}))
    assert contents(memories) == ["First.", "Shown."]
    assert {new.occurred_at for new in memories} == {at(2025, 6, 1, 8)}
    assert [entry.reason for entry in skipped] == ["messages on other branches"]
    assert contents(read("claude", write(tmp_path / "all.json", [export]))[0]) == ["First.", "Replaced.", "Shown."]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({}, "This is no conversation, project or memory of Claude."),
        ("text", "This is no conversation, project or memory of Claude."),
        ({"chat_messages": []}, "The conversation has no uuid, or no list of messages."),
        ({"uuid": "k", "chat_messages": {}}, "The conversation has no uuid, or no list of messages."),
        (
            {"uuid": "k", "chat_messages": [{"sender": "owl", "text": "x"}]},
            "The sender is neither human nor assistant: 'owl'.",
        ),
        ({"uuid": "k", "chat_messages": [7]}, "The sender is neither human nor assistant: 'None'."),
        ({"docs": []}, "The project has no uuid."),
        ({"uuid": "p", "docs": [{"filename": "empty"}]}, "The doc has no filename or no content."),
        ({"uuid": "p", "created_at": "soon", "docs": []}, "created_at is not a time: 'soon'."),
    ],
)
def test_invalid_records_of_claude_are_refused(tmp_path: Path, record: Any, message: str) -> None:
    memories, skipped = read("claude", write(tmp_path / "conversations.json", [record]))
    assert memories == []
    ((_, reason),) = refusals(skipped)
    assert message in reason
