"""Reads the commits of the repository that a folder belongs to."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from memos_mcp.domain.commit import ChangedFile, Commit
from memos_mcp.domain.errors import Invalid, SourceUnavailable
from memos_mcp.ingest.git.command import GitRefused, git

BATCH_COMMITS: Final = 100

_FIELDS: Final = "--format=%H%x00%P%x00%an%x00%at%x00%B"
_DIFF: Final = (
    *("diff-tree", "--stdin", "-z", "-r", "--root", "--always", "--relative", "--encoding=UTF-8", _FIELDS),
    # The configuration of a repository may name programs that compare files, or check signatures.
    *("--no-ext-diff", "--no-textconv"),
)
_COUNTED: Final = (*_DIFF, "--numstat", "-M", "-l400")
_NAMED: Final = (*_DIFF, "--name-only", "--no-renames")
_MESSAGE: Final = (
    *("log", "--stdin", "--no-walk=unsorted", "-z", "-s", "--encoding=UTF-8", _FIELDS),
    "--no-show-signature",
)

_REFS: Final = ("HEAD", "--branches", "--tags", "--remotes")

_FALLBACK_ENCODINGS: Final = ("windows-1252", "latin-1")
"""The last one has a character for every byte."""


@dataclass(frozen=True, slots=True)
class GitHistory:
    """The history of a folder: its commits that are reachable from HEAD and change something in the folder."""

    root: Path
    git_folder: Path
    whole: bool
    """Whether the folder is that of the whole work tree."""

    def head(self) -> str | None:
        """Return the commit that is checked out, or None before the first one."""
        done = git(self.root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", accepted=(0, 1))
        return done.stdout.decode().strip() or None

    def commits(self, since: datetime | str | None = None) -> list[str]:
        """Return their hashes, newest first; those after a time, or those that another commit does not have."""
        if self.head() is None:
            return []
        excluded = (f"^{since}",) if isinstance(since, str) else ()
        folder = () if self.whole else (".",)
        lines = git(self.root, "rev-list", "--timestamp", "HEAD", *excluded, "--", *folder).stdout.decode().splitlines()
        listed = [line.split(" ", 1) for line in lines]
        oldest = since.timestamp() if isinstance(since, datetime) else None
        return [commit for time, commit in listed if oldest is None or int(time) >= oldest]

    def reachable(self) -> set[str]:
        """Return the hashes of all commits that any branch or tag has."""
        if self.head() is None:
            return set()
        return set(git(self.root, "rev-list", *_REFS).stdout.decode().split())

    def resolve(self, name: str) -> str:
        """Return the hash of the commit that a branch, a tag or a part of a hash names, or raise `Invalid`."""
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = git(self.root, *arguments, accepted=(0, 1, 128)).stdout.decode().strip()
        if not found:
            raise Invalid(f"--since: {name!a} is no date such as 2026-05-01, and no commit, branch or tag.")
        return found

    def boundary(self) -> frozenset[str]:
        """Return the commits of a shallow clone whose parents it lacks: what they changed is not known."""
        path = os.fsdecode(git(self.root, "rev-parse", "--git-path", "shallow").stdout).removesuffix("\n")
        try:
            return frozenset((self.root / path).read_text().split())
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise SourceUnavailable(f"{self.root / path} cannot be read: {error.strerror}.") from error

    def read(self, hashes: Sequence[str], boundary: Collection[str]) -> Iterator[Commit | tuple[str, str]]:
        """Yield these commits, and the hash and error of each that cannot be read."""
        for start in range(0, len(hashes), BATCH_COMMITS):
            batch = hashes[start : start + BATCH_COMMITS]
            whole = [commit for commit in batch if commit not in boundary]
            try:
                yield from _counted(self._output(whole, _COUNTED), whole)
            except (GitRefused, SourceUnavailable, ValueError):
                yield from map(self._read_one, whole)
            yield from (self._read_one(commit, (_MESSAGE,)) for commit in batch if commit in boundary)

    def _read_one(
        self, commit: str, ways: Sequence[Sequence[str]] = (_COUNTED, _NAMED, _MESSAGE)
    ) -> Commit | tuple[str, str]:
        """Read a commit and what is known of its changes: a partial clone may lack contents or folders."""
        error = ""
        for options in ways:
            try:
                output = self._output([commit], options)
                return _counted(output, [commit])[0] if options is _COUNTED else _named(output, options is _NAMED)
            except (GitRefused, SourceUnavailable, ValueError) as one:
                error = str(one)
        return commit, error

    def _output(self, hashes: Sequence[str], options: Sequence[str]) -> bytes:
        if not hashes:
            return b""
        return git(self.root, *options, stdin="".join(f"{one}\n" for one in hashes).encode()).stdout


def open_history(root: Path) -> GitHistory:
    """Return the history of a folder, or raise `Invalid` when it has none."""
    try:
        output = git(root, "rev-parse", "--show-cdup", "--absolute-git-dir").stdout
    except GitRefused as refused:
        raise Invalid(f"{root} has no history: {refused}. Leave out --history.") from refused
    above, git_folder = os.fsdecode(output).removesuffix("\n").split("\n", 1)
    return GitHistory(root, Path(git_folder), whole=not above)


def _counted(output: bytes, hashes: Sequence[str]) -> list[Commit]:
    """Return the commits of an output with counts of lines; raise `ValueError` when it is not that of these commits."""
    tokens = iter(output.split(b"\0")[:-1])
    commits: list[Commit] = []
    files: list[ChangedFile] = []
    for token in tokens:
        if b"\t" in token:
            files.append(_file(token, tokens))
            continue
        commits.append(_header(token, tokens))
        files = []
        commits[-1] = replace(commits[-1], files=files)
    if [commit.hash for commit in commits] != list(hashes):
        raise ValueError("git returned other commits than those that were asked for")
    return commits


def _named(output: bytes, with_files: bool) -> Commit:  # noqa: FBT001 - private
    tokens = iter(output.split(b"\0")[:-1])
    commit = _header(next(tokens, b""), tokens)
    files = [ChangedFile(_path(token.removeprefix(b"\n"))) for token in tokens]
    return replace(commit, files=files) if with_files else commit


def _header(token: bytes, tokens: Iterator[bytes]) -> Commit:
    parents, author, time, message = islice(tokens, 4)
    text, encoding = _decoded(message)
    return Commit(token.decode(), len(parents.split()), _decoded(author)[0], int(time), text, encoding=encoding)


def _file(token: bytes, tokens: Iterator[bytes]) -> ChangedFile:
    added, removed, path = token.removeprefix(b"\n").split(b"\t", 2)
    former = None
    if not path:
        before, path = islice(tokens, 2)
        former = _path(before)
    if added == b"-":
        return ChangedFile(_path(path), former=former)
    return ChangedFile(_path(path), int(added), int(removed), former)


def _decoded(data: bytes) -> tuple[str, str | None]:
    """Return a text, and the encoding that was assumed if it is not in UTF-8, to which git converts what it can."""
    for encoding in ("utf-8", *_FALLBACK_ENCODINGS):
        try:
            return data.decode(encoding), None if encoding == "utf-8" else encoding
        except UnicodeDecodeError:
            continue
    raise AssertionError


def _path(path: bytes) -> str:
    return path.decode(errors="backslashreplace")
