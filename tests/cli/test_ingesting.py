"""`memos-as ingest`: what it stores and prints, and how it is stopped and resumed."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from memos_mcp.app import assemble
from memos_mcp.cli.command_line import main
from memos_mcp.cli.ingest_report import ReportOutput
from memos_mcp.cli.ingesting import IngestRun
from memos_mcp.domain.scope import Scope
from memos_mcp.ingest.files.file_stamps import FileStamps
from memos_mcp.ingest.files.selection import WITHOUT_PATTERNS
from memos_mcp.settings import Settings
from tests.cli.user_terminal import on_terminal, user_of, without_styles
from tests.ingest.git_repository import Repository

GREET = 'def greet(name: str) -> str:\n    """Say hello to a heron."""\n    return f"hello {name}"\n'
PART = 'def part(name: str) -> str:\n    """Say good-bye to an otter."""\n    return f"bye {name}"\n'
SECONDS = 60.0


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A small code base with files that are stored and files that are skipped."""
    folder = tmp_path / "small"
    (folder / "birds").mkdir(parents=True)
    (folder / "birds" / "heron.py").write_text(GREET)
    (folder / "readme.md").write_text("# Small\n\nA code base of no importance.\n")
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "noise.log").write_text("noise\n")
    (folder / "picture.png").write_bytes(b"\x89PNG\x00\x00")
    return folder


@pytest.fixture
def ingest(
    home: Path, tmp_path: Path, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command in this process and in a namespace of its own.

    The function returns the exit code, stdout and stderr.
    """
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", tmp_path.name)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["ingest", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


Ingest = Callable[..., tuple[int, str, str]]


def figures(out: str) -> dict[str, int]:
    """Return the figures of the summary by name; those of chunks are named `chunks created` and so on."""
    files, chunks = re.search(r"files: (.*); chunks: (.*)", out).groups()  # type: ignore[union-attr]  # fails the test
    named = {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", files)}
    return named | {f"chunks {name}": int(count) for count, name in re.findall(r"(\d+) (\w+)", chunks)}


def test_a_folder_is_ingested_and_updated_with_a_report(ingest: Ingest, code: Path) -> None:
    exit_code, out, _ = ingest(code)
    assert exit_code == 0
    assert out.startswith("small: files: 3 new, 0 changed, 0 unchanged, 0 removed; chunks: ")
    assert re.search(r"^skipped: .*1 ignored by git", out, re.MULTILINE)
    assert re.search(r"^skipped: .*1 binary", out, re.MULTILINE)

    reported = figures(ingest(code)[1])
    assert (reported["unchanged"], reported["chunks created"], reported["chunks removed"]) == (3, 0, 0)

    (code / "birds" / "heron.py").write_text(f"{PART}\n\n{GREET}")
    (code / "readme.md").unlink()
    reported = figures(ingest(code)[1])
    assert (reported["changed"], reported["unchanged"], reported["removed"]) == (1, 1, 1)


@pytest.mark.usefixtures("ingest")
def test_a_run_that_stores_nothing_loads_no_model(code: Path) -> None:
    def loads() -> str:
        program = "from memos_mcp.cli.command_line import main; main(); print('fastembed' in sys.modules)"
        command = [sys.executable, "-c", f"import sys; {program}", "ingest", str(code)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]

    assert [loads(), loads()] == ["True", "False"]


def test_every_skipped_file_is_listed_on_request(ingest: Ingest, code: Path) -> None:
    _, out, _ = ingest(code, "--dry-run", "--list-skipped")
    assert "skipped: noise.log: ignored by git\n" in out
    assert "skipped: picture.png: binary\n" in out


def test_each_report_is_one_line_of_json_on_request_and_other_messages_are_on_stderr(
    ingest: Ingest, code: Path
) -> None:
    (code / "cafe.py").write_bytes(
        'DRINK = "café crème brûlée à la carte"  # -*- coding: latin-1 -*-\n'.encode("latin-1")
    )
    exit_code, out, err = ingest(code, "--dry-run", "--json")
    [line] = out.splitlines()
    report = json.loads(line)
    assert exit_code == 0
    assert "this was a dry run" in err
    assert (report["source"], report["written"]) == ("small", False)
    assert report["files"] == {"new": 4, "changed": 0, "unchanged": 0, "removed": 0, "kept": 0, "unconfirmed": 0}
    assert report["skipped"]["ignored by git"] == report["skipped"]["binary"] == 1
    assert sum(report["encodings"].values()) == 1

    [listed] = ingest(code, "--dry-run", "--json", "--list-skipped")[1].splitlines()
    assert {"path": "noise.log", "reason": "ignored by git"} in json.loads(listed)["skipped"]


def test_a_terminal_shows_a_report_as_a_table(code: Path, home: Path) -> None:
    exit_code, shown = on_terminal(user_of(home), 100, "ingest", str(code), "--dry-run")
    rows = [line.split(maxsplit=1) for line in without_styles(shown).splitlines() if line.strip()]
    assert exit_code == 0
    assert ["files", "3 new, 0 changed, 0 unchanged, 0 removed"] in [[row[0], row[-1].strip()] for row in rows]
    assert ["skipped", "1 binary"] in [[row[0], row[-1].strip()] for row in rows]


def test_a_dry_run_stores_nothing(ingest: Ingest, code: Path) -> None:
    for _ in range(2):
        exit_code, out, _ = ingest(code, "--dry-run", "--name", "another")
        assert (exit_code, figures(out)["new"]) == (0, 3)
        assert out.startswith("another: ")
        assert out.endswith("Nothing was stored: this was a dry run.\n")


def test_options_and_a_memosignore_select_what_is_ingested(ingest: Ingest, code: Path) -> None:
    (code / "logo.svg").write_text("<svg></svg>\n")
    (code / ".memosignore").write_text("readme.md\n")
    assert figures(ingest(code)[1])["new"] == 3  # heron.py, .gitignore and .memosignore itself

    _, out, _ = ingest(code, "--include", "readme.md", "--include", "*.svg", "--exclude", ".*", "--list-skipped")
    reported = figures(out)
    assert (reported["new"], reported["unchanged"], reported["removed"]) == (2, 1, 2)
    assert "skipped: .gitignore: excluded by --exclude\n" in out
    assert figures(ingest(code)[1])["removed"] == 2  # the options counted for one run


def test_data_is_one_chunk_until_an_option_includes_it(ingest: Ingest, code: Path) -> None:
    (code / "birds" / "counts.csv").write_text("day,count\n" + "2026-05-01,7\n" * 500)
    before = figures(ingest(code, "--exclude", "*.csv")[1])["chunks created"]
    assert before == 3
    assert figures(ingest(code)[1])["chunks created"] == 1

    reported = figures(ingest(code, "--include", "*.csv")[1])
    assert (reported["changed"], reported["chunks removed"]) == (1, 1)
    assert figures(ingest(code)[1])["chunks created"] == 1


def test_the_size_limit_is_an_option_and_a_setting(ingest: Ingest, code: Path, nothing_set: pytest.MonkeyPatch) -> None:
    nothing_set.setenv("MEMOS_INGEST_MAX_BYTES", "20")
    _, out, _ = ingest(code, "--dry-run", "--list-skipped")
    assert "skipped: birds/heron.py: too large\n" in out
    assert figures(out)["new"] == 1
    assert figures(ingest(code, "--dry-run", "--max-bytes", "1000")[1])["new"] == 3
    assert ingest(code, "--max-bytes", "0")[::2] == (
        2,
        "memos-as: MEMOS_INGEST_MAX_BYTES: Input should be greater than or equal to 1\n",
    )


def test_a_text_that_is_no_pattern_is_reported(ingest: Ingest, code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        ingest(code, "--exclude", "!x")
    assert "'!x' is no pattern such as '*.po' or 'vendor/acme/'" in capsys.readouterr().err


def test_a_path_that_is_not_a_folder_is_reported(ingest: Ingest, code: Path) -> None:
    missing, file = code / "missing", code / "readme.md"
    assert ingest(missing) == (1, "", f"memos-as: {missing} cannot be read: No such file or directory.\n")
    assert ingest(file) == (1, "", f"memos-as: {file} is not a folder. Give the folder that holds it.\n")


def failing(call: Callable[..., object], name: str) -> Callable[..., object]:
    """Return a call of the system that cannot read paths of this name."""

    def fail(path: Any, *arguments: object, **options: object) -> object:
        if not isinstance(path, int) and Path(path).name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call(path, *arguments, **options)

    return fail


def test_what_cannot_be_read_stays_recorded_and_the_command_exits_with_3(
    ingest: Ingest, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(code)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(os.scandir, "birds"))
        exit_code, out, err = ingest(code)
    assert (exit_code, figures(out)["removed"]) == (3, 0)
    assert "not read: birds/: Input/output error\n" in err
    assert "recorded files kept: 1\n" in err
    assert figures(ingest(code)[1])["unchanged"] == 3


def test_a_folder_that_cannot_be_listed_changes_nothing_and_exits_with_3(
    ingest: Ingest, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(code)
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", failing(os.scandir, "small"))
        exit_code, out, err = ingest(code)
    assert (exit_code, out) == (3, "")
    assert err.endswith(f"memos-as: {code} cannot be listed: Input/output error. Nothing was changed.\n")
    assert figures(ingest(code)[1])["unchanged"] == 3


def test_most_files_of_a_source_are_only_removed_with_yes(ingest: Ingest, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    for number in range(12):
        (folder / f"page{number}.md").write_text(f"# Page {number}\n")
    ingest(folder)
    for file in folder.iterdir():
        file.unlink()

    exit_code, out, err = ingest(folder)
    assert (exit_code, figures(out)["removed"]) == (3, 0)
    assert "12 of 12 recorded files are missing in the folder" in err
    exit_code, out, _ = ingest(folder, "--yes")
    assert (exit_code, figures(out)["removed"]) == (0, 12)


def test_a_watch_refuses_to_confirm_removals(ingest: Ingest, code: Path) -> None:
    exit_code, _, err = ingest(code, "--watch", "--yes")
    assert exit_code == 1
    assert "--watch never removes most files of a source" in err


def test_the_reason_why_git_does_not_decide_is_printed(ingest: Ingest, code: Path) -> None:
    (code / ".git").mkdir()
    assert "ignored files: by .gitignore in the folder, because git cannot use the repository" in ingest(code)[1]


def test_an_unchanged_file_is_not_opened_again(ingest: Ingest, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_600_000_000_000)
    ingest(code)
    opened: list[str] = []
    monkeypatch.setattr(os, "open", recording(os.open, opened))
    (code / "birds" / "heron.py").write_text(PART)
    assert figures(ingest(code)[1])["changed"] == 1
    # A file that is skipped for its content is not recorded, so it is read each time.
    assert {"heron.py", "picture.png"} <= set(opened)
    assert not {"readme.md", ".gitignore"} & set(opened)


@pytest.mark.usefixtures("ingest")
@pytest.mark.anyio
async def test_a_run_within_changed_paths_lists_and_opens_nothing_else(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "fish").mkdir()
    (code / "fish" / "trout.py").write_text(PART)
    scope, stamps = Scope(tmp_path.name, "default"), FileStamps(tmp_path / "stamps", "1")
    output = ReportOutput(list_skipped=False, as_json=False)
    run = IngestRun(code, scope, "small", WITHOUT_PATTERNS, output, False, stamps, anyio.Event())
    app = assemble(Settings())
    try:
        await run.execute(app)
        touched: list[str] = []
        for name in ("open", "scandir"):
            monkeypatch.setattr(os, name, recording(getattr(os, name), touched))
        (code / "birds" / "heron.py").write_text(PART)
        (code / "fish" / "trout.py").unlink()
        report = await run.execute(app, within=frozenset({"birds/heron.py", "fish/trout.py"}))
    finally:
        await app.close()
    assert (report.changed, report.removed, report.unchanged, report.omitted) == (1, 1, 0, [])
    assert set(touched) == {"small", "birds", "fish", "heron.py"}


def recording(call: Callable[..., object], names: list[str]) -> Callable[..., object]:
    """Return the call of the system, which also records the names of the paths that it is called with."""

    def record(path: str | Path, *arguments: object, **options: object) -> object:
        names.append(Path(path).name)
        return call(path, *arguments, **options)

    return record


def test_stamps_from_another_record_do_not_hide_a_file(
    ingest: Ingest, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3_600_000_000_000)
    ingest(code)
    assert figures(ingest(code, "--name", "second")[1])["new"] == 3


@contextmanager
def watching(
    home: Path, code: Path, *options: str, ignoring_interrupts: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """Yield a process that watches the folder; it is killed when it does not end in time."""
    with subprocess.Popen(
        [sys.executable, "-m", "memos_mcp", "ingest", "--watch", "--no-wait", *options, str(code)],
        env={**os.environ, "MEMOS_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignoring_interrupts else None,  # noqa: PLW1509 - nothing else runs in the child
    ) as process:
        clock = threading.Timer(SECONDS, process.kill)
        clock.start()
        try:
            yield process
        finally:
            clock.cancel()
            process.kill()


def line(process: "subprocess.Popen[str]", beginning: str) -> str:
    """Return the next line with this beginning."""
    assert process.stdout is not None
    for text in process.stdout:
        if text.startswith(beginning):
            return text
    pytest.fail(f"the command ended without: {beginning}")


@pytest.mark.usefixtures("ingest")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def test_a_watched_folder_is_ingested_until_a_signal_stops_it(home: Path, code: Path, how: signal.Signals) -> None:
    with watching(home, code) as process:
        line(process, "Watching ")
        (code / "birds" / "otter.py").write_text(PART)
        assert figures(line(process, "small: "))["new"] == 1
        (code / "birds" / "heron.py").unlink()
        assert figures(line(process, "small: "))["removed"] == 1
        process.send_signal(how)
        _, err = process.communicate()
    assert process.returncode == 0
    assert err.rstrip().endswith("Stopped. Stored files are kept; run the same command again to continue.")


@pytest.mark.usefixtures("ingest")
def test_a_watch_with_history_ingests_commits_and_files(home: Path, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repository")
    repository.commit("One", small__heron_py=GREET)
    with watching(home, repository.folder / "small", "--history") as process:
        assert line(process, "small: commits: ").startswith("small: commits: 1 new, ")
        line(process, "Watching ")
        (repository.folder / "small" / "otter.py").write_text(PART)
        assert figures(line(process, "small: files: "))["new"] == 1
        repository.commit("Two", day=2)  # writes nothing in the watched folder
        assert line(process, "small: commits: ").startswith("small: commits: 1 new, 0 changed, 1 unchanged, ")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0


@pytest.mark.usefixtures("ingest")
def test_a_background_watch_that_ignores_ctrl_c_ends_at_sigterm(home: Path, code: Path) -> None:
    with watching(home, code, ignoring_interrupts=True) as process:
        line(process, "Watching ")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0


@pytest.mark.usefixtures("ingest")
def test_a_watch_ends_with_its_folder_and_keeps_the_stored_files(home: Path, code: Path) -> None:
    with watching(home, code) as process:
        line(process, "Watching ")
        code.rename(code.with_name("elsewhere"))
        _, err = process.communicate()
    assert process.returncode == 1
    assert "no longer exists. The stored files are kept." in err


def test_a_killed_run_is_resumed_and_embeds_nothing_twice(
    ingest: Ingest, home: Path, code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ingest(code)  # also waits until what other tests stored is indexed, so that the counts below are this test's own
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        (folder / f"page{number}.py").write_text(GREET.replace("heron", f"heron number {number}"))
    before = doctor(capsys)
    with subprocess.Popen(
        [sys.executable, "-m", "memos_mcp", "ingest", str(folder)],
        env={**os.environ, "MEMOS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as cut:
        assert cut.stderr is not None
        seen = b""
        while not re.search(rb"indexed: +[1-9]", seen) and (chunk := os.read(cut.stderr.fileno(), 4_096)):
            seen += chunk
        cut.kill()
    assert cut.returncode == -signal.SIGKILL

    assert figures(ingest(folder)[1])["unchanged"] == 150
    after = doctor(capsys)
    assert after["problems"] == []
    assert after["rows"]["memory"] - before["rows"]["memory"] == 150
    assert after["computed"] - before["computed"] == 150


def doctor(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    main(["doctor", "--json"])
    findings: dict[str, Any] = json.loads(capsys.readouterr().out)
    return findings
