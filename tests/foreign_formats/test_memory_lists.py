"""mem0 and mcp-memory-service: lists of memories."""

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.domain.memory import NewMemory
from tests.foreign_formats.reading import EXPORTS, contents, read, refusals

MEM0 = EXPORTS / "mem0" / "memories.json"


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_mem0_memories_keep_their_run_role_times_and_ids() -> None:
    memories, skipped = read("mem0", MEM0)
    ada, bread, relation = memories
    assert ada == NewMemory(
        "Ada is allergic to walnuts",
        "semantic",
        ["health", "food"],
        {
            "imported_from": "mem0",
            "topic": "food",
            "role": "user",
            "mem0_id": "m-1",
            "mem0_user_id": "ada",
            "mem0_agent_id": "cook",
            "mem0_hash": "0f",
            "mem0_updated_at": "2025-03-05T10:20:30-07:00",
        },
        session_id="mem0:dinner-7",
        occurred_at=datetime(2025, 3, 4, 17, 20, 30, tzinfo=UTC),
    )
    assert bread.kind == "procedural"
    assert bread.expires_at == datetime(3000, 1, 1, tzinfo=UTC)
    assert relation.content == "ada lives in delft."
    assert [(entry.where, entry.reason) for entry in skipped] == [
        ("memories.json: results 3", "replaced by newer memories"),
        ("memories.json: results 4", "expired"),
    ]
    assert refusals(skipped) == []


def test_a_list_of_mem0_and_a_page_of_its_api_are_read_alike(tmp_path: Path) -> None:
    memory = {"id": "m", "memory": "Tea at four", "session_id": "r", "created_at": "2025-03-04T00:00:00Z"}
    page = {"count": 1, "next": None, "previous": None, "results": [memory]}
    expected, _ = read("mem0", write(tmp_path / "list.json", [memory]))
    assert read("mem0", write(tmp_path / "page.json", page))[0] == expected
    assert expected[0].session_id == "mem0:r"


def test_an_archive_of_openmemory_has_the_names_of_its_categories(tmp_path: Path) -> None:
    export = {
        "user": {"id": "u"},
        "categories": [{"id": "k1", "name": "travel"}],
        "memories": [
            {"id": "1", "content": "Trains only", "state": "active", "category_ids": ["k1"], "created_at": None},
            {"id": "2", "content": "Forget this", "state": "deleted", "category_ids": []},
        ],
    }
    with zipfile.ZipFile(tmp_path / "memories_export_ada.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("memories.json", json.dumps(export))
        archive.writestr("memories.jsonl.gz", b"")
    memories, skipped = read("mem0", tmp_path / "memories_export_ada.zip")
    assert [(new.content, list(new.tags), new.occurred_at) for new in memories] == [("Trains only", ["travel"], None)]
    assert [entry.reason for entry in skipped] == ["files of other kinds", "deleted"]


def test_a_repeated_text_of_mem0_is_imported_once(tmp_path: Path) -> None:
    twice = [{"id": one, "memory": "Tea at four", "user_id": one} for one in ("a", "b")]
    memories, skipped = read("mem0", write(tmp_path / "mem0.json", twice))
    assert [new.metadata["mem0_id"] for new in memories] == ["a"]
    assert [entry.reason for entry in skipped] == ["repetitions of the same text"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"id": "m"}, "memory is missing or is no text."),
        ("just text", "memory is missing or is no text."),
        ({"memory": "x", "created_at": "yesterday"}, "created_at is not a time: 'yesterday'."),
        ({"memory": "x", "created_at": True}, "created_at is not a time: 'True'."),
        ({"memory": "x", "created_at": 1e300}, "created_at is not a time: '1e+300'."),
        ({"memory": "x", "expiration_date": "9999-12-31T23:00:00-05:00"}, "expires_at lies outside the years"),
        ({"memory": "x", "metadata": "text"}, "metadata is no object."),
        ({"memory": "x", "categories": [{"name": "travel"}]}, "categories is no list of texts."),
        ({"memory": "a\x00b"}, "content holds a NUL character"),
        ({"memory": "\ud83d"}, "content holds an unpaired surrogate"),
        ({"memory": "x", "metadata": {"long": "y" * 20_000}}, "metadata has 20,"),
        ({"memory": "x", "categories": ["y" * 200]}, "an entry of tags has 200 characters"),
        ({"memory": "x", "metadata": {"n": float("nan")}}, "metadata holds a number that JSON cannot carry"),
    ],
)
def test_an_invalid_record_of_mem0_is_refused_alone(tmp_path: Path, record: Any, reason: str) -> None:
    file = write(tmp_path / "mem0.json", {"results": [record, {"memory": "Tea at four"}]})
    memories, skipped = read("mem0", file)
    assert contents(memories) == ["Tea at four"]
    ((where, message),) = refusals(skipped)
    assert where == "mem0.json: results 1"
    assert reason in message


def test_memories_of_mcp_memory_service_keep_tags_types_times_and_metadata() -> None:
    memories, skipped = read("mcp-memory-service", EXPORTS / "mcp-memory-service")
    assert skipped == []
    assert memories[0] == NewMemory(
        "The nightly backup runs at two.",
        "semantic",
        ["ops", "backup"],
        {
            "imported_from": "mcp-memory-service",
            "project": "lighthouse",
            "memory_type": "reference",
            "mcp_memory_service_hash": "c0ffee",
            "updated_at": 1735776000.0,
        },
        occurred_at=datetime(2025, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC),
    )
    assert memories[1].kind == "procedural"


@pytest.mark.parametrize(
    "record",
    [
        {"content": "Backup at two", "content_hash": "h", "tags_str": "ops,backup", "type": "note", "project": "p"},
        {"id": "h", "document": "Backup at two", "metadata": {"tags": "ops, backup", "type": "note", "project": "p"}},
    ],
    ids=["to_dict", "backup"],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_older_shapes_of_mcp_memory_service_are_read(tmp_path: Path, record: dict[str, Any], wrapped: bool) -> None:
    timed = {**record, "timestamp": 1735689600.0, "embedding": [0.5]}
    file = write(tmp_path / "backup.json", {"total_memories": 1, "memories": [timed]} if wrapped else [timed])
    (new,), skipped = read("mcp-memory-service", file)
    assert skipped == []
    assert (new.content, list(new.tags)) == ("Backup at two", ["ops", "backup"])
    assert new.occurred_at == datetime(2025, 1, 1, tzinfo=UTC)
    assert new.metadata == {
        "imported_from": "mcp-memory-service",
        "project": "p",
        "memory_type": "note",
        "mcp_memory_service_hash": "h",
    }


def test_invalid_memories_of_mcp_memory_service_are_refused(tmp_path: Path) -> None:
    file = write(
        tmp_path / "memories.json",
        {"memories": [{"content": ""}, 5, {"content": "x", "created_at": []}, {"content": "x", "tags": 7}]},
    )
    memories, skipped = read("mcp-memory-service", file)
    assert memories == []
    assert [where for where, _ in refusals(skipped)] == [f"memories.json: memory {number}" for number in (1, 2, 3, 4)]


@pytest.mark.parametrize("system", ["mem0", "mcp-memory-service"])
def test_a_file_without_memories_is_refused_and_an_empty_list_is_not(tmp_path: Path, system: str) -> None:
    _, skipped = read(system, write(tmp_path / "profile.json", {"full_name": "Ada"}))
    assert "an object without any of these lists" in refusals(skipped)[0][1]
    assert read(system, write(tmp_path / "empty.json", {"memories": []})) == ([], [])
