"""Runs git in a checkout that is not trusted: its configuration starts no program, and nothing is written."""

import errno
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from memos_mcp.domain.errors import SourceUnavailable

TIMEOUT_SECONDS: Final = 120.0

_OPTIONS: Final = (
    "--no-pager",
    # A repository may name programs here: https://git-scm.com/docs/git-config
    *("-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}"),
    # A folder that has the files of a bare repository is not taken for one.
    *("-c", "safe.bareRepository=explicit"),
)
_VARIABLES: Final = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    # A commit is what its hash names.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    # A partial clone would otherwise fetch what it lacks.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
_KEPT: Final = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH", "GIT_CONFIG_COUNT")
_KEPT_PREFIXES: Final = ("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")
"""The user's own configuration. The other variables, which git sets for hooks, name another repository."""

_PASSING: Final = tuple(
    os.strerror(number)
    for number in (
        *(errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN),
        *(errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENODEV, errno.ENXIO, errno.EBUSY),
    )
)
"""Errors of the system that say nothing about the repository."""


class GitRefused(Exception):
    """Git does not list this repository, for a reason that lasts; the message says why."""


def git(
    folder: Path, *arguments: str, accepted: Sequence[int] = (0,), stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run git in a folder; no repository above the folder's own is found.

    Raise `GitRefused` when git is missing or cannot use the repository, and `SourceUnavailable` when it could currently
    not read something: then nothing is known about the files.
    """
    program = shutil.which("git")
    if program is None:
        raise GitRefused("git is not installed")
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are ours
            [program, *_OPTIONS, *arguments],
            cwd=folder,
            env=_environment(),
            input=stdin,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailable(f"git did not answer in {folder} within {TIMEOUT_SECONDS:g} seconds.") from error
    except OSError as error:
        raise SourceUnavailable(f"git cannot be started in {folder}: {error.strerror}.") from error
    _check(folder, done, accepted)
    return done


def _environment() -> dict[str, str]:
    """Return the variables that git inherits; none of them is read here."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return {**inherited, **_VARIABLES}


def _check(folder: Path, done: "subprocess.CompletedProcess[bytes]", accepted: Sequence[int]) -> None:
    lines = os.fsdecode(done.stderr).splitlines()
    # Git warns and exits with 0 when it cannot read a file of patterns: what it ignores would then be ingested.
    unread = next((line for line in lines if "unable to access" in line), None)
    if unread is None and done.returncode in accepted:
        return
    message = unread or next((line for line in lines if line.startswith("fatal:")), lines[0] if lines else "no reason")
    message = message.removeprefix("fatal: ").removeprefix("warning: ").rstrip(".")
    if unread is not None or any(passing in message for passing in _PASSING):
        raise SourceUnavailable(f"git cannot read {folder}: {message}.")
    if "dubious ownership" in message:
        raise GitRefused("another user owns the repository (see safe.directory in `git help config`)")
    raise GitRefused(f"git cannot use the repository: {message}")
