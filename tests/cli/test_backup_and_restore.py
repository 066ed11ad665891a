"""`memos-as backup` and `memos-as restore`: the whole record, or nothing, and no damage to what is there."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import anyio
import pytest

from memos_mcp.archive.archive_reader import opened_archive
from memos_mcp.cli.command_line import main
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from tests import preloaded
from tests.cli.user_terminal import SECONDS
from tests.conftest import SETTINGS
from tests.postgres.record_rows import record_rows
from tests.server_environment import server_environment

COMMAND = Path(sys.executable).with_name("memos-as")
LINES = [
    {"content": f"Fact {number}: the bell in tower {number} rings at {number % 12}.", "tags": ["bells"]}
    for number in range(200)
]
LOADOUT = 'role = "writer"\n'


@pytest.fixture(scope="module")
def source() -> Iterator[Path]:
    """A home with memories, tools and a loadout."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        lines = Path(folder) / "lines.jsonl"
        lines.write_text("".join(json.dumps(line) + "\n" for line in LINES))
        for command in (["import", "--no-wait", str(lines)], ["seed", "--no-wait"]):
            preloaded.run(command, server_environment(MEMOS_HOME=home), timeout=SECONDS).check_returncode()
        (home / "loadouts").mkdir()
        (home / "loadouts" / "writer.toml").write_text(LOADOUT)
        yield home


@pytest.fixture(scope="module")
def backup(source: Path) -> Path:
    path = source.parent / "home.backup"
    preloaded.run(["backup", path], server_environment(MEMOS_HOME=source), timeout=SECONDS).check_returncode()
    return path


@pytest.fixture
def empty(tmp_home: Path, nothing_set: pytest.MonkeyPatch) -> Path:
    """A home that does not exist yet, for the commands of this process."""
    nothing_set.setenv("MEMOS_HOME", str(tmp_home / "restored"))
    return tmp_home / "restored"


@pytest.fixture
def tmp_home() -> Iterator[Path]:
    """A folder of each test's own, which other users can enter."""
    with TemporaryDirectory(prefix="memos-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def rows_of(home: Path) -> dict[str, list[str]]:
    """Return all rows of a home's record."""

    async def read() -> dict[str, list[str]]:
        server = EmbeddedPostgres(home / "postgres", settings=SETTINGS)
        try:
            return await record_rows(await server.start())
        finally:
            await server.stop()

    return anyio.run(read)


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_a_restored_home_has_the_record_and_the_loadouts(source: Path, backup: Path, empty: Path) -> None:
    assert main(["restore", str(backup)]) == 0
    assert rows_of(empty) == rows_of(source)
    assert (empty / "loadouts" / "writer.toml").read_text() == LOADOUT


def test_a_home_with_content_is_not_restored_into(
    backup: Path, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["seed", "--no-wait"])
    before = rows_of(empty)
    assert main(["restore", str(backup)]) == 1
    assert re.search(
        r"has memories or tools already\. Restore into another MEMOS_HOME, or add --replace", last_line(capsys)
    )
    assert rows_of(empty) == before


def test_a_replaced_home_is_kept(source: Path, backup: Path, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["seed", "--no-wait"])
    before = rows_of(empty)
    (empty / "loadouts").mkdir(exist_ok=True)
    (empty / "loadouts" / "writer.toml").write_text("another")
    assert main(["restore", str(backup)]) == 1
    assert "has another writer.toml than the backup" in last_line(capsys)
    assert main(["restore", "--replace", str(backup)]) == 0
    (kept,) = (empty / "postgres").glob("data-postgresql-*")
    assert str(kept) in capsys.readouterr().out
    main(["doctor"])
    assert f"notice:    {kept} is the data folder before an upgrade or a restore" in capsys.readouterr().out
    assert rows_of(empty) == rows_of(source)
    assert (empty / "loadouts" / "writer.toml").read_text() == LOADOUT
    (former,) = (empty / "loadouts").glob("writer.toml.replaced-*")
    assert former.read_text() == "another"

    (empty / "postgres" / "data").rename(empty / "postgres" / "restored")
    kept.rename(empty / "postgres" / "data")
    assert rows_of(empty) == before


def test_a_damaged_backup_changes_nothing(backup: Path, tmp_path: Path, nothing_set: pytest.MonkeyPatch) -> None:
    with ZipFile(backup) as file:
        rows = max(file.infolist(), key=lambda member: member.compress_size)
    data = bytearray(backup.read_bytes())
    data[rows.header_offset + rows.compress_size // 2] ^= 1  # a date between two members could change unnoticed
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    nothing_set.setenv("MEMOS_HOME", str(tmp_path / "home"))
    assert main(["restore", str(damaged)]) == 1
    assert not (tmp_path / "home").exists()


def test_a_home_with_an_engine_is_not_restored_into(
    backup: Path, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as log:
        engine = preloaded.start(["serve", "--port", "0"], server_environment(MEMOS_HOME=empty), [writer] * 3)
        os.close(writer)
        try:
            assert any(b"http://" in line for line in log)
            assert main(["restore", "--replace", str(backup)]) == 1
            assert "Stop it first: memos-as stop" in last_line(capsys)
        finally:
            engine.send_signal(signal.SIGTERM)
            log.read()
            assert engine.wait(SECONDS) == 0


def test_a_backup_replaces_an_earlier_one_and_no_other_file(
    source: Path, tmp_path: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(source))
    path = tmp_path / "file"
    assert main(["backup", str(path)]) == 0
    assert main(["backup", "--no-vectors", str(path)]) == 0
    with ZipFile(path) as file:
        assert "tables/embeddings.copy" not in file.namelist()
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("notes")
    assert main(["backup", str(path)]) == 1
    assert "exists and is another kind of file" in last_line(capsys)
    assert path.read_text() == "notes"
    assert main(["backup", str(tmp_path / "missing" / "file")]) == 1
    assert "cannot be written: No such file or directory" in last_line(capsys)


def test_a_backup_to_stdout_can_be_restored(source: Path, backup: Path, tmp_path: Path) -> None:
    piped = tmp_path / "piped"
    with piped.open("wb") as file:
        subprocess.run(
            [COMMAND, "backup", "-"],
            env=server_environment(MEMOS_HOME=source),
            stdout=file,
            stderr=subprocess.PIPE,
            check=True,
        )
    with ZipFile(piped) as one, ZipFile(backup) as other:
        assert one.read("tables/agent_memories.copy") == other.read("tables/agent_memories.copy")


@pytest.mark.anyio
async def test_a_database_of_a_server_is_backed_up_and_restored(
    database_url: str, tmp_path: Path, backup: Path
) -> None:
    variables = server_environment(MEMOS_HOME=tmp_path / "home", MEMOS_DATABASE_URL=database_url)

    def run(*command: str) -> tuple[int, str]:
        done = preloaded.run(command, variables, timeout=SECONDS)
        return done.returncode, done.stderr

    code, error = run("restore", "--replace", str(backup))
    assert (code, "--replace is for the bundled PostgreSQL" in error) == (1, True)
    assert run("restore", str(backup))[0] == 0
    code, error = run("restore", str(backup))
    assert (code, "Create an empty database and set MEMOS_DATABASE_URL to it" in error) == (1, True)
    assert run("backup", str(tmp_path / "again"))[0] == 0
    with ZipFile(tmp_path / "again") as one, ZipFile(backup) as other:
        for name in ("tables/agent_memories.copy", "tables/registered_tools.copy"):
            assert sorted(one.read(name).splitlines()) == sorted(other.read(name).splitlines())


def run(home: Path, *command: str | Path) -> None:
    """Run a command to its end, in a process of its own."""
    subprocess.run([COMMAND, *command], env=server_environment(MEMOS_HOME=home), check=True, capture_output=True)


def killed_after(seconds: float, home: Path, *command: str | Path) -> None:
    """Start a command and kill it after this time, unless it has ended."""
    process = subprocess.Popen(
        [COMMAND, *command],
        env=server_environment(MEMOS_HOME=home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("replace", [False, True])
def test_a_restore_that_is_killed_has_restored_all_or_nothing(
    source: Path, backup: Path, tmp_home: Path, replace: bool
) -> None:
    expected = rows_of(source)
    began = time.monotonic()
    run(tmp_home / "timed", "restore", backup)
    early, late = 0.0, 1.1 * (time.monotonic() - began)
    for number in range(6):
        target = tmp_home / f"killed {replace} {number}"
        arguments = ["--replace"] if replace else []
        if replace:
            run(target, "seed", "--no-wait")
        before = rows_of(target) if replace else {table: [] for table in expected}
        seconds = (early + late) / 2  # ever nearer to the moment of the commit
        killed_after(seconds, target, "restore", *arguments, backup)
        found = rows_of(target)
        assert found in (before, expected)
        early, late = (seconds, late) if found == before else (early, seconds)
        if found == before:
            run(target, "restore", *arguments, backup)
            assert rows_of(target) == expected
    assert early, "every restore was complete before it was killed"


@pytest.mark.slow
def test_a_backup_that_is_killed_keeps_the_one_before(source: Path, backup: Path, tmp_path: Path) -> None:
    path, chance = tmp_path / "file", Random(7)
    path.write_bytes(backup.read_bytes())
    for _ in range(6):
        killed_after(chance.uniform(0.2, 1.2), source, "backup", path)
        with opened_archive(path) as archive:
            archive.verify(lambda _rows: None)


@pytest.mark.slow
def test_an_import_of_an_export_that_is_killed_is_completed_by_repeating_it(source: Path, tmp_home: Path) -> None:
    path, chance = tmp_home / "all.jsonl", Random(5)
    run(source, "export", path)
    command = ("import", "--no-wait", path)
    began = time.monotonic()
    run(tmp_home / "timed", *command)
    longest = time.monotonic() - began
    for number in range(6):
        target = tmp_home / f"killed {number}"
        killed_after(chance.uniform(0.3, 1.0) * longest, target, *command)
        run(target, *command)
        again = target / "again.jsonl"
        run(target, "export", again)
        assert unnumbered(again) == unnumbered(path)


def unnumbered(path: Path) -> list[dict[str, Any]]:
    """Return the lines after the first without their numbers: an import that is repeated draws new ones."""
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return [line | ({"sequence": None} if line["type"] == "memory" else {}) for line in lines]
