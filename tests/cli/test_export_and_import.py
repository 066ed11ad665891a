"""What `memos-as export` writes and `memos-as import` reads is the same record, and overwrites none."""

import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from memos_mcp.archive.export_file import check_export
from memos_mcp.cli.exporting import export
from memos_mcp.cli.importing_export import MEMBERS, import_export, import_lines, store_lines
from memos_mcp.cli.output import CLOSED_PIPE
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryFilter, NewMemory
from memos_mcp.domain.memory_changes import ErasedVectors
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.database import Database
from memos_mcp.postgres.memories import PostgresMemories
from memos_mcp.postgres.memory_changes import PostgresMemoryChanges
from memos_mcp.postgres.record_line_types import LINE_TYPES
from memos_mcp.postgres.record_lines import LineImports
from memos_mcp.postgres.sources import PostgresSources
from memos_mcp.settings import Settings
from tests import preloaded
from tests.postgres.record_rows import populate, record_rows
from tests.server_environment import server_environment

pytestmark = pytest.mark.anyio

COMMAND = str(Path(sys.executable).with_name("memos-as"))
TABLES = {
    "memory": "agent_memories",
    "forgotten": "forgotten_memories",
    "event": "memory_events",
    "tool": "registered_tools",
    "file": "ingested_files",
    "task": "past_tasks",
    "outcome": "tool_outcomes",
    "vector": "embeddings",
}
NOT_EXPORTED = {
    "memory": {"content_hash", "search"},
    "tool": {"id", "search"},
    "task": {"sequence"},
    "vector": {"claimed_until"},
}
"""Columns that are computed, numbers that nothing refers to, and a lease."""

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ANN = Scope("home", "ann")


@pytest.fixture
async def source(empty_url: str) -> str:
    """The address of a database with content in several namespaces."""
    connection = await connect(empty_url)
    await populate(connection)
    await connection.close(timeout=5)
    return empty_url


@pytest.fixture
async def exported(source: str, tmp_path: Path) -> Path:
    """Everything, with vectors."""
    path = tmp_path / "all.jsonl"
    await write(source, path, all_namespaces=True, vectors=True)
    return path


@pytest.fixture
async def target(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


async def write(url: str, path: Path, *, all_namespaces: bool = False, vectors: bool = False, **names: str) -> None:
    settings = Settings(home=path.parent / "home", database_url=SecretStr(url), **names)  # type: ignore[arg-type]  # names only
    assert await export(settings, path=path, all_namespaces=all_namespaces, vectors=vectors) == 0


async def read(database: Database, path: Path) -> Counter[str]:
    with path.open("rb") as file:
        contents = check_export(file, MEMBERS)
        counts = Counter[str]()
        await store_lines(LineImports(database), file, contents, counts)
        return counts


def changed(path: Path, type_: str, **values: Any) -> Path:
    """Write a copy in which the first line of a type has other values."""
    lines = lines_of(path)
    number = next(number for number, line in enumerate(lines) if f'"type": "{type_}"' in line)
    lines[number] = json.dumps(json.loads(lines[number]) | values)
    copy = path.with_name("changed.jsonl")
    copy.write_text("\n".join(lines))
    return copy


def lines_of(path: Path) -> list[str]:
    return path.read_text().split("\n")


def without_counts(rows: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out how many vectors a database ever computed, and access tokens and quotas, which belong to one server."""
    kept_out = {"embedding_counts", "access_tokens", "quotas"}
    return {table: found for table, found in rows.items() if table not in kept_out}


async def test_every_column_of_the_record_is_exported(target: Database) -> None:
    async with target.everything.connection() as connection:
        for name, table in TABLES.items():
            rows = await connection.fetch(
                "SELECT column_name::text FROM information_schema.columns WHERE table_name = $1", table
            )
            columns = {row["column_name"] for row in rows} - NOT_EXPORTED.get(name, set())
            assert columns == LINE_TYPES[name].columns | LINE_TYPES[name].later_columns
    assert TABLES.keys() == LINE_TYPES.keys()


async def test_what_is_exported_and_imported_is_the_same_record(
    source: str, exported: Path, target: Database, database_url: str
) -> None:
    counts = await read(target, exported)
    assert all(outcome.endswith("created") for outcome in counts)
    assert without_counts(await record_rows(database_url)) == without_counts(await record_rows(source))
    again = exported.with_name("again.jsonl")
    await write(database_url, again, all_namespaces=True, vectors=True)
    assert lines_of(again)[1:] == lines_of(exported)[1:]


async def test_an_export_from_before_tools_had_methods_is_imported(exported: Path, target: Database) -> None:
    lines = [json.loads(line) for line in lines_of(exported) if line]
    for line in lines:
        if line.get("type") == "tool":
            for column in LINE_TYPES["tool"].later_columns:
                del line[column]
    await anyio.Path(exported).write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, again = await read(target, exported), await read(target, exported)
    assert first["tool lines created"] == again["tool lines there already"] > 0
    async with target.everything.connection() as connection:
        rows = await connection.fetch("SELECT DISTINCT method, auth, missing FROM registered_tools")
    assert [tuple(row.values()) for row in rows] == [("POST", None, False)]


async def test_an_import_that_is_repeated_adds_nothing(exported: Path, target: Database, database_url: str) -> None:
    first = await read(target, exported)
    rows = await record_rows(database_url)
    second = await read(target, exported)
    assert {outcome.replace("created", "there already"): lines for outcome, lines in first.items()} == second
    assert await record_rows(database_url) == rows


async def test_an_import_that_was_interrupted_is_resumed(exported: Path, target: Database, source: str) -> None:
    lines = lines_of(exported)
    half = exported.with_name("half.jsonl")
    half.write_text("\n".join(lines[:8]) + '\n{"type": "end", "lines": 7}\n')
    await read(target, half)
    await read(target, exported)
    async with target.everything.connection() as connection:
        order = "SELECT string_agg(id::text, ' ' ORDER BY sequence) FROM agent_memories"
        resumed = await connection.fetchval(order)
        assert await connection.fetchval("SELECT count(*) = count(DISTINCT sequence) FROM agent_memories")
    connection = await connect(source)
    assert await connection.fetchval(order) == resumed
    await connection.close(timeout=5)


async def test_new_rows_are_numbered_after_imported_ones(exported: Path, target: Database) -> None:
    await read(target, exported)
    memories, changes = PostgresMemories(target), PostgresMemoryChanges(target)
    added = await memories.add(ANN, NewMemory("The newest of all."), NOW)
    await changes.forget(ANN, [added.memory_id], NOW)
    async with target.everything.connection() as connection:
        newest = await connection.fetchval("SELECT memory_id FROM memory_events ORDER BY sequence DESC LIMIT 1")
    assert newest == added.memory_id


async def test_an_export_has_one_namespace_unless_all_are_asked_for(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "office.jsonl"
    await write(source, path, namespace="office")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["content"] for line in lines if line.get("type") == "memory"] == ["Nobody is here."]
    assert lines[0]["namespaces"] == ["office"]
    assert "--all-namespaces exports all" in capsys.readouterr().err
    with pytest.raises(Invalid, match="Add --all-namespaces, or omit --vectors"):
        await write(source, tmp_path / "vectors.jsonl", namespace="office", vectors=True)
    assert not (tmp_path / "vectors.jsonl").exists()


async def test_an_import_stays_in_its_namespace(exported: Path, database_url: str) -> None:
    settings = Settings(home=exported.parent / "home", database_url=SecretStr(database_url), namespace="office")
    with exported.open("rb") as file, pytest.raises(Invalid, match=r"MEMOS_NAMESPACE is 'office'.*--all-namespaces"):
        await import_export(settings, file, all_namespaces=False, wait=False)
    assert not any((await record_rows(database_url)).values())


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("memory", {"content": "Another text."}),
        ("memory", {"version": 9}),
        ("tool", {"description": "Another tool."}),
        ("file", {"digest": "\\x07"}),
        ("event", {"agent_id": "bob"}),
        ("forgotten", {"forgotten_at": "2020-01-01T00:00:00+00:00"}),
        ("vector", {"vector": "\\x0000000000000000"}),
    ],
)
async def test_what_is_stored_with_other_values_is_kept_and_reported(
    exported: Path,
    target: Database,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    type_: str,
    values: dict[str, Any],
) -> None:
    await read(target, exported)
    rows = await record_rows(database_url)
    capsys.readouterr()
    counts = await read(target, changed(exported, type_, **values))
    assert counts[f"{type_} lines not stored"] == 1
    assert f"this {type_} is stored here with other values; nothing of it was changed" in capsys.readouterr().err
    assert await record_rows(database_url) == rows


async def test_a_content_that_is_stored_under_another_id_is_stored_once(exported: Path, target: Database) -> None:
    memories = PostgresMemories(target)
    tea = await memories.add(ANN, NewMemory("Tea is at five."), NOW)
    boil = await memories.add(ANN, NewMemory("def boil(): ..."), NOW)
    counts = await read(target, exported)
    assert counts["memory lines there already under another id"] == 2
    async with target.everything.connection() as connection:
        former = await connection.fetchval("SELECT superseded_by FROM agent_memories WHERE content = 'Tea is at four.'")
        chunks = await connection.fetchval("SELECT memory_ids FROM ingested_files")
    assert former == tea.memory_id
    assert chunks[0] == boil.memory_id
    again = await read(target, exported)
    assert not any("not stored" in outcome or "created" in outcome for outcome in again)


async def test_a_chunk_that_another_source_has_here_names_the_imported_source_too(
    exported: Path, target: Database
) -> None:
    boil = NewMemory("def boil(): ...", kind="document", metadata={"source": "fork", "lines": [1, 2]})
    await PostgresSources(target).replace(ANN, "fork", [StoredFile("tea.py", b"1", [boil])], NOW)
    await read(target, exported)
    async with target.everything.connection() as connection:
        source = await connection.fetchval("SELECT source FROM ingested_files WHERE source <> 'fork'")
    found = await PostgresMemories(target).newest("home", MemoryFilter(metadata={"source": source}), None, 9, NOW)
    (metadata,) = (memory.metadata for memory in found if memory.content == boil.content)
    assert metadata == {"source": "fork", "lines": [1, 2], "also_in": [{"source": source}]}


async def test_a_file_of_one_namespace_takes_no_chunk_of_another(exported: Path, target: Database) -> None:
    other = (await PostgresMemories(target).add(Scope("office", "ann"), NewMemory("theirs"), NOW)).memory_id
    await read(target, changed(exported, "file", memory_ids=[str(other)]))
    async with target.everything.connection() as connection:
        assert await connection.fetchval("SELECT memory_ids FROM ingested_files") == []


async def test_a_content_that_has_expired_here_is_reported(
    exported: Path, target: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    await PostgresMemories(target).add(ANN, NewMemory("Tea is at five.", expires_at=long_ago), long_ago)
    counts = await read(target, exported)
    assert counts["memory lines not stored"] == 1
    assert "or has expired" in capsys.readouterr().err


@pytest.mark.parametrize("erased", [False, True])
async def test_a_memory_that_was_forgotten_or_erased_here_is_not_revived(
    exported: Path, target: Database, capsys: pytest.CaptureFixture[str], erased: bool
) -> None:
    await read(target, exported)
    changes = PostgresMemoryChanges(target)
    async with target.everything.connection() as connection:
        cat = await connection.fetchval("SELECT id FROM agent_memories WHERE content = 'Who feeds the cat?'")
    await (changes.erase(ANN, [cat], ErasedVectors([], None), NOW) if erased else changes.forget(ANN, [cat], NOW))
    counts = await read(target, exported)
    assert counts["memory lines not stored"] == 1
    assert "was forgotten, erased or replaced here, or has expired" in capsys.readouterr().err
    async with target.everything.connection() as connection:
        assert not await connection.fetchval("SELECT EXISTS (SELECT FROM agent_memories WHERE id = $1)", cat)


@pytest.mark.parametrize(
    "values",
    [{"kind": "rumour"}, {"occurred_at": "the day before"}, {"content": None}, {"id": "7"}, {"importance": "high"}],
)
async def test_a_value_that_cannot_be_stored_names_its_lines(
    exported: Path, target: Database, values: dict[str, Any]
) -> None:
    with pytest.raises(Invalid, match=r"lines \d+ to \d+: A value cannot be stored.*run the import again"):
        await read(target, changed(exported, "memory", **values))


async def test_an_export_is_piped_and_imported_by_the_command(source: str, database_url: str, tmp_path: Path) -> None:
    variables = server_environment(MEMOS_HOME=tmp_path / "home", MEMOS_NAMESPACE="office")
    path = tmp_path / "piped.jsonl"
    done = preloaded.run(["export"], {**variables, "MEMOS_DATABASE_URL": source}, timeout=60)
    path.write_text(done.stdout)
    command = ["import", "--no-wait", path]
    done = preloaded.run(command, {**variables, "MEMOS_DATABASE_URL": database_url}, timeout=60)
    assert done.stdout.strip() == "1 memory lines created"


async def test_all_namespaces_are_those_of_an_export(tmp_path: Path, database_url: str) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"content": "x"}\n')
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(database_url))
    with pytest.raises(Invalid, match=r"is for an export of memos-as, and .*lines\.jsonl is none"):
        await import_lines(settings, path=path, all_namespaces=True, wait=False)


async def test_a_pipe_that_is_closed_early_ends_the_export_quietly(source: str, tmp_path: Path) -> None:
    variables = server_environment(MEMOS_HOME=tmp_path / "home", MEMOS_DATABASE_URL=source)
    reading, writing = os.pipe()
    os.close(reading)
    with anyio.fail_after(60), os.fdopen(writing, "wb") as closed:
        done = await anyio.run_process([COMMAND, "export"], env=variables, stdout=closed, check=False)
    assert done.returncode == CLOSED_PIPE
    assert b"Traceback" not in done.stderr
    assert b"memory store" not in done.stderr


async def test_another_file_is_not_replaced_by_an_export(source: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("notes")
    with pytest.raises(Invalid, match="is another kind of file"):
        await write(source, path)
    assert path.read_text() == "notes"
