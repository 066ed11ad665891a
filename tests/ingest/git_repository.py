"""A repository for tests."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMED = {
    "GIT_AUTHOR_NAME": "Ann Lee",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Bob",
    "GIT_COMMITTER_EMAIL": "bob@example.org",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
}


@dataclass(frozen=True)
class Repository:
    """A work tree. Commits are a day apart, from 2026-01-01 on."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> "Repository":
        folder.mkdir(parents=True)
        repository = cls(folder)
        repository.git("init", "-q", "-b", "main")
        return repository

    def git(self, *arguments: str, stdin: bytes = b"", **variables: str) -> str:
        environment = {**os.environ, **NAMED, **variables}
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=environment, input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode(errors="replace").strip()

    def commit(self, message: str | bytes, *options: str, day: int = 1, **files: str) -> str:
        """Write files, whose names have `__` for a slash and `_` for a dot, and commit everything."""
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "-A")
        stdin = message.encode() if isinstance(message, str) else message
        date = f"2026-01-{day:02}T12:00:00+00:00"
        self.git(
            *(*options, "commit", "-q", "--allow-empty", "--allow-empty-message", "-F", "-"),
            stdin=stdin,
            GIT_AUTHOR_DATE=date,
            GIT_COMMITTER_DATE=date,
        )
        return self.git("rev-parse", "HEAD")
