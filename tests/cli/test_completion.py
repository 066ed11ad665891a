"""The completions of the command line, by the shells themselves."""

import shutil
import subprocess
from pathlib import Path

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.cli.completion_command import SHELLS

BASH = """
. ./script
words=({line} '{word}')
COMP_WORDS=("${{words[@]}}") COMP_CWORD=$((${{#words[@]}} - 1))
"$(complete -p memos-as | sed -E 's/.*-F ([^ ]+).*/\\1/')" memos-as '{word}' memos-as 2>/dev/null
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
FISH = "source ./script; complete -C '{line} {word}'"


def prepare(shell: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Write the script of a shell into a folder; skip the test where there is no such shell."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert main(["completion", shell]) == 0
    (folder / "script").write_text(capsys.readouterr().out)


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "word", "offered"),
    [
        ("memos-as", "inst", {"install"}),
        ("memos-as install", "curs", {"cursor"}),
        ("memos-as completion", "", set(SHELLS)),
        ("memos-as ingest", "--hist", {"--history"}),
        ("memos-as import", "some", {"something.jsonl"}),
    ],
)
def test_a_shell_completes_commands_options_values_and_files(
    shell: str, line: str, word: str, offered: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(shell, tmp_path, capsys)
    (tmp_path / "something.jsonl").touch()
    command = (BASH if shell == "bash" else FISH).format(line=line, word=word)
    done = subprocess.run([shell, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {found.split("\t")[0].strip() for found in done.stdout.splitlines()} - {""} == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_reads_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(shell, tmp_path, capsys)
    subprocess.run([shell, "-n", "script"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_has_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("ingest", "uninstall", "opencode", "half-life-days"))
