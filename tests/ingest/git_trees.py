"""Work trees of git that tests make, and what git itself lists of them."""

import os
import subprocess
from pathlib import Path

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.files.walk import FoundFile, walk


def run_git(root: Path, *arguments: str) -> str:
    """Run git; submodules may be added from files."""
    done = subprocess.run(
        ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "commit.gpgSign=false", *arguments],
        cwd=root,
        env={**os.environ, "GIT_ALLOW_PROTOCOL": "file"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def write(root: Path, *files: str, text: str = "text\n") -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)


def repository(root: Path, *files: str, ignore: str = "") -> Path:
    """Make a repository with tracked files."""
    root.mkdir(parents=True, exist_ok=True)
    run_git(root, "init", "--quiet")
    write(root, *files)
    if ignore:
        (root / ".gitignore").write_text(ignore)
    run_git(root, "add", "--all", "--force")
    run_git(root, "commit", "--quiet", "--allow-empty", "--message", "First")
    return root


def found(root: Path) -> set[str]:
    return {entry.path for entry in walk(root) if isinstance(entry, FoundFile)}


def skipped(root: Path) -> dict[str, str]:
    return {entry.path: entry.reason for entry in walk(root) if isinstance(entry, Skipped)}


def listed(root: Path) -> set[str]:
    """Return what git takes."""
    output = run_git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    return {path for path in output.split("\0") if path}
