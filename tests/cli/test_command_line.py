"""The commands: their output, their exit codes, and the processes that remain."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from memos_mcp import __version__
from memos_mcp.cli.command_line import main

SECRET = "sesame"
GOOD = {"content": "The staging database moved on Tuesday.", "session_id": "s1", "occurred_at": "2026-05-01T10:00:00Z"}
TOOL = {
    "tool_id": "web.search",
    "name": "Web Search",
    "description": "Search the internet.",
    "endpoint_url": "https://tools.example.com/search",
}


@pytest.fixture
def memos(home: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Memos":
    nothing_set.setenv("MEMOS_HOME", str(home))
    return Memos(capsys)


class Memos:
    """Runs commands in this process. `out` and `err` are the output of the last one."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        """Run a command and return its exit code."""
        self._capsys.readouterr()
        try:
            code: int | str | None = main(arguments)
        except SystemExit as error:
            code = error.code
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(code, int)
        return code

    def doctor(self) -> dict[str, Any]:
        """Return the diagnosis, which must agree with the exit code."""
        code = self("doctor", "--json")
        findings: dict[str, Any] = json.loads(self.out)
        assert code == (1 if findings["problems"] else 0)
        return findings


def test_the_command_prints_its_version() -> None:
    done = subprocess.run([Path(sys.executable).with_name("memos-as"), "--version"], capture_output=True, check=True)
    assert done.stdout.decode().split() == ["memos-as", __version__]


def test_the_help_names_every_command(memos: Memos) -> None:
    assert memos("--help") == 0
    for command in ("serve", "engine", "status", "stop", "migrate", "import", "reindex", "doctor", "demo"):
        assert re.search(rf"^ +{command} ", memos.out, re.MULTILINE)


@pytest.mark.parametrize("arguments", [("sevre",), ("serve", "--prot", "1"), ("import",), ("serve", "--port", "many")])
def test_invalid_arguments_exit_with_2_and_one_line_that_names_the_help(memos: Memos, arguments: Sequence[str]) -> None:
    assert memos(*arguments) == 2
    assert re.fullmatch(r"memos-as( \w+)?: [^\n]+; see memos-as( \w+)? --help\n", memos.err)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEMOS_PORT", "70000"),
        ("MEMOS_HNSW_THRESHOLD", SECRET),
        ("MEMOS_LOG_LEVEL", SECRET),
        ("MEMOS_QDRANT_PREFIX", f"{SECRET} {SECRET}"),
        ("MEMOS_QDRANT_QUANTIZATION", SECRET),
        ("MEMOS_INDEX_WAIT_SECONDS", "-77"),
        ("MEMOS_EMBEDDING_THREADS", "0.77"),
        ("MEMOS_NAMESPACE", SECRET * 99),
    ],
)
def test_an_invalid_setting_exits_with_2_and_names_the_variable_but_not_its_value(
    memos: Memos, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert memos("doctor") == 2
    (line,) = memos.err.splitlines()
    assert line.startswith(f"memos-as: {variable}: ")
    assert value not in line
    assert memos.out == ""


def test_an_unreachable_database_exits_with_1_and_hides_the_password(
    memos: Memos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMOS_DATABASE_URL", f"postgresql://memos:{SECRET}@127.0.0.1:1/memos")
    for command in ("migrate", "doctor"):
        assert memos(command) == 1
        assert memos.err.splitlines()[-1].startswith("memos-as: The memory store cannot be reached")
        assert SECRET not in memos.err


def test_a_home_that_cannot_be_created_is_reported_without_a_traceback(
    memos: Memos, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEMOS_HOME", str(tmp_path / "file" / "home"))
    assert memos("doctor") == 1
    assert memos.err.splitlines()[-1].startswith(
        "memos-as: The data folder cannot be created or written. Set MEMOS_HOME"
    )
    assert str(tmp_path / "file" / "home") in caplog.text
    assert "Traceback" not in memos.err + caplog.text


def test_a_second_migrate_changes_nothing(memos: Memos) -> None:
    for _ in range(2):
        assert memos("migrate") == 0
        assert re.fullmatch(r"PostgreSQL \d+\.\d+: the schema is up to date\.\n", memos.out)


def test_valid_lines_are_imported_and_invalid_ones_reported_with_number_and_reason(
    memos: Memos, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.jsonl"
    bad = {
        3: (b"not json", "not JSON"),
        5: (b"[1, 2]", "not a JSON object"),
        6: (b'{"content": ""}', "content is empty"),
        7: (b'{"contents": "misspelt"}', "Did you mean 'content'?"),
        8: (json.dumps({**TOOL, "endpoint_url": "ftp://x"}).encode(), "endpoint_url must start with http"),
        9: (b'{"content": "\xff"}', "not JSON in UTF-8"),
        10: (b'{"content": "x", "occurred_at": "2026-05-01T10:00:00"}', "no time zone"),
    }
    lines = {1: json.dumps(GOOD).encode(), 2: json.dumps(TOOL).encode(), 4: b"", 11: b'{"content": "The last line."}'}
    lines |= {number: line for number, (line, _) in bad.items()}
    file.write_bytes(b"\n".join(lines[number] for number in sorted(lines)))

    assert memos("import", str(file)) == 1
    assert memos.out.splitlines() == ["2 memories created, 7 refused, 1 tools created"]
    reported = dict(re.findall(r"^line (\d+): (.*)$", memos.err.replace("\r", "\n"), re.MULTILINE))
    assert reported.keys() == {str(number) for number in bad}
    for number, (_, reason) in bad.items():
        assert reason in reported[str(number)]

    assert memos("import", str(file)) == 1
    assert memos.out.splitlines() == ["2 memories there already, 7 refused, 1 tools unchanged"]
    findings = memos.doctor()
    assert findings["problems"] == []
    assert findings["rows"] == findings["index"]["items"] == {"memory": 2, "tool": 1, "task": 0}
    assert findings["queue"]["depth"] == {"memory": 0, "tool": 0, "task": 0}


def test_a_missing_file_is_reported(memos: Memos, tmp_path: Path) -> None:
    assert memos("import", str(tmp_path / "missing.jsonl")) == 1
    assert memos.err == f"memos-as: {tmp_path / 'missing.jsonl'} cannot be read: No such file or directory.\n"


def test_a_line_that_supersedes_a_missing_memory_is_rejected(memos: Memos, tmp_path: Path) -> None:
    file = tmp_path / "orphan.jsonl"
    orphan = {"content": "A correction of nothing.", "supersedes": "6f2b62a4-6f3c-4f0e-9d5b-8a4c5f2f0e11"}
    write(file, [{"content": "Before the orphan."}, orphan, {"content": "After the orphan."}])
    assert memos("import", "--no-wait", str(file)) == 1
    assert memos.out.splitlines() == ["2 memories created, 1 refused"]
    assert "line 2: supersedes: no live memory with this id" in memos.err


def test_the_doctor_reports_a_deleted_index_until_it_is_rebuilt(memos: Memos, home: Path) -> None:
    assert memos("reindex") == 0
    well = memos.doctor()
    assert well["problems"] == []
    for path in sorted((home / "index").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

    assert memos("doctor") == 1
    assert "problem:" in memos.out
    assert memos.out.splitlines()[-1] == "something is wrong"

    assert memos("reindex") == 0
    assert "are queued" in memos.out
    assert memos("doctor") == 0
    assert memos.out.splitlines()[-1] == "all is well"
    assert memos.doctor()["computed"] == well["computed"]


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, "MEMOS_ALLOWED_HOSTS"),
        ({"MEMOS_AUTH_TOKEN": SECRET}, "MEMOS_ALLOWED_HOSTS"),
        ({"MEMOS_ALLOWED_HOSTS": "memos.example.com", "MEMOS_AUTH": "none"}, "Unset MEMOS_AUTH"),
    ],
    ids=str,
)
def test_serving_other_machines_requires_authentication_and_host_names(
    memos: Memos, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], missing: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert memos("serve", "--host", "0.0.0.0", "--port", "0") == 1
    (line,) = memos.err.splitlines()
    assert line.startswith("memos-as: Refusing to listen on 0.0.0.0")
    assert missing in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGKILL, id="SIGKILL"), pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow)],
)
def test_an_interrupted_import_is_resumed_by_running_it_again(
    memos: Memos, home: Path, tmp_path: Path, how: signal.Signals
) -> None:
    file = tmp_path / "many.jsonl"
    write(file, ({"content": f"Parcel {how.name} {number} waits at locker {number * 7}."} for number in range(8_000)))
    before = memos.doctor()["rows"]["memory"]
    with subprocess.Popen(
        [sys.executable, "-m", "memos_mcp", "import", "--no-wait", str(file)],
        env={**os.environ, "MEMOS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as cut:
        assert cut.stderr is not None
        assert until(cut.stderr, rb"stored: +[1-9]")
        cut.send_signal(how)
    assert cut.returncode != 0
    if how != signal.SIGKILL:
        assert running_on(home) == []
    here = memos.doctor()["rows"]["memory"] - before
    assert 0 < here < 8_000

    assert memos("import", "--no-wait", str(file)) == 0
    assert memos.out == f"{8_000 - here:,} memories created, {here:,} memories there already\n"
    assert running_on(home) == []


def write(file: Path, lines: Iterable[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def until(stream: Any, pattern: bytes) -> bool:
    """Read until the pattern matches; return False if the stream ends before."""
    seen = b""
    while chunk := os.read(stream.fileno(), 4_096):
        seen += chunk
        if re.search(pattern, seen):
            return True
    return False


def running_on(home: Path) -> list[str]:
    """Return the command lines of the processes that still run on this home after up to 10 s."""
    deadline = time.monotonic() + 10
    while True:
        lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        running = [line for line in lines if str(home) in line]
        if not running or time.monotonic() > deadline:
            return running
        time.sleep(0.02)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_completions_of_a_shell_name_the_commands(memos: Memos, shell: str) -> None:
    assert memos("completion", shell) == 0
    assert all(command in memos.out for command in ("restore-memory", "add-openapi", "UserPromptSubmit"))
