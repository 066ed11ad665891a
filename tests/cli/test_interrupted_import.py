"""Ctrl-C during an import: no traceback, what is stored, and how to continue."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from memos_mcp.app import assemble
from memos_mcp.settings import Settings

COUNT = 6_000
CONTINUE = "Run the same command again to continue; what is stored is not stored again."


def lines(folder: Path, count: int) -> list[str]:
    """Write JSON Lines; return the arguments that import them."""
    file = folder / "memories.jsonl"
    file.write_text("".join(f'{{"content": "Parcel {number} waits."}}\n' for number in range(count)))
    return [str(file)]


def observations(folder: Path, count: int) -> list[str]:
    """Write a graph of one entity; return the arguments that import it."""
    entity = {"type": "entity", "name": "Locker", "entityType": "thing"}
    parcels = [f"Parcel {number} waits." for number in range(count)]
    (folder / "memory.jsonl").write_text(json.dumps({**entity, "observations": parcels}) + "\n")
    return ["--from", "server-memory", str(folder)]


@pytest.mark.parametrize("write", [lines, pytest.param(observations, marks=pytest.mark.slow)])
def test_ctrl_c_reports_what_is_stored_and_the_same_command_continues(
    home: Path,
    nothing_set: pytest.MonkeyPatch,
    tmp_path: Path,
    write: Callable[[Path, int], list[str]],
    request: pytest.FixtureRequest,
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", request.node.name)
    before = rows()
    arguments = ["--no-wait", *write(tmp_path, COUNT)]

    code, out, err = interrupted(arguments, rb"stored: +[1-9]")

    assert code == 130
    assert b"Traceback" not in err
    report, advice = out.decode().splitlines()
    stored = int(re.fullmatch(r"Stopped\. Stored so far: ([\d,]+) memories created\.", report)[1].replace(",", ""))  # type: ignore[index]  # no match fails the test
    assert advice == CONTINUE
    assert 0 < stored < COUNT
    assert rows() - before == stored

    again = subprocess.run(command(arguments), capture_output=True, check=True)
    assert again.stdout.decode().splitlines()[0] == (
        f"{COUNT - stored:,} memories created, {stored:,} memories there already"
    )


def test_ctrl_c_while_the_index_is_built_reports_that_everything_is_stored(
    home: Path, nothing_set: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(home))
    code, out, err = interrupted(observations(tmp_path, 1_000), rb"indexed: ")
    assert code == 130
    assert b"Traceback" not in err
    assert out.decode().splitlines() == [
        "1,000 memories created",
        "skipped: nothing",
        "Stopped. Everything is stored; a running engine indexes the rest, or the next one does.",
    ]


def test_a_dry_run_stops_when_its_reader_has_enough(tmp_path: Path) -> None:
    arguments = shlex.join([*command(observations(tmp_path, COUNT)), "--dry-run"])
    done = subprocess.run(["sh", "-c", f"{arguments} | head -n 1"], capture_output=True, check=True)
    assert json.loads(done.stdout)["content"] == "Locker: Parcel 0 waits."
    assert done.stderr.decode().splitlines()[-1] == "Nothing was stored: this was a dry run."
    assert b"BrokenPipe" not in done.stderr


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "memos_mcp", "import", *arguments]


def interrupted(arguments: Sequence[str], pattern: bytes) -> tuple[int, bytes, bytes]:
    """Run an import, and interrupt it once its progress matches; return its exit code and its output."""
    with subprocess.Popen(command(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        seen = b""
        while not re.search(pattern, seen) and (chunk := os.read(process.stderr.fileno(), 4_096)):
            seen += chunk
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, seen + err


def rows() -> int:
    """Return the number of memories in the record."""

    async def count() -> int:
        app = assemble(Settings())
        try:
            return (await app.doctor.rows())["memory"]
        finally:
            await app.close()

    return anyio.run(count)
