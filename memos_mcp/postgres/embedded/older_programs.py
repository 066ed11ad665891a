"""Finds the programs of an older PostgreSQL, which are needed once to read a data folder that it made."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from memos_mcp.domain.errors import StoreUnavailable
from memos_mcp.postgres.embedded.bundled_programs import bundled_programs

VERSION_SECONDS: Final = 10.0
FOLDERS: Final = (
    "/usr/lib/postgresql/{major}/bin",  # Debian, Ubuntu
    "/usr/pgsql-{major}/bin",  # the PostgreSQL project's packages for Fedora and Red Hat
    "/usr/libexec/postgresql{major}",  # Alpine
    "/opt/homebrew/opt/postgresql@{major}/bin",  # Homebrew, Apple silicon
    "/usr/local/opt/postgresql@{major}/bin",  # Homebrew, Intel
    "/Library/PostgreSQL/{major}/bin",  # the EDB installers
    "C:/Program Files/PostgreSQL/{major}/bin",
)
"""The folders into which the usual packages install the programs of a major version."""

MISSING: Final = (
    "The data folder was made by PostgreSQL {major}, and this memos-as has PostgreSQL {bundled}. The folder can be "
    "upgraded as soon as the programs of PostgreSQL {major} are there: install them (on Debian and Ubuntu: apt-get "
    "install postgresql-{major}), or set MEMOS_OLD_POSTGRES to the folder that has its `postgres` and `pg_ctl`. "
    "Or install the memos-as that made the folder again, run `memos-as backup FILE`, and restore that with this one: "
    "`memos-as restore FILE --replace`. Nothing was changed."
)
NEWER: Final = (
    "The data folder was made by PostgreSQL {major}, and this memos-as has PostgreSQL {bundled}. Install the memos-as "
    "that made it, or a newer one. Nothing was changed."
)


def find_programs(major: int, bundled: int, chosen: Path | None) -> Path:
    """Return the folder of the programs of a version; raise `StoreUnavailable` with what to do when there is none."""
    if major > bundled:
        raise StoreUnavailable(NEWER.format(major=major, bundled=bundled))
    for folder in _candidates(major, chosen):
        if _has_version(folder, major):
            return folder
    raise StoreUnavailable(MISSING.format(major=major, bundled=bundled))


def _candidates(major: int, chosen: Path | None) -> Iterator[Path]:
    if chosen is not None:
        yield chosen
    if (bundled := bundled_programs(major)) is not None:
        yield bundled
    yield from (Path(folder.format(major=major)) for folder in FOLDERS)


def _has_version(folder: Path, major: int) -> bool:
    suffix = ".exe" if sys.platform == "win32" else ""
    if not (folder / f"pg_ctl{suffix}").is_file():
        return False
    try:
        printed = subprocess.run(  # noqa: S603  # a program of the operator's, without arguments of others
            [folder / f"postgres{suffix}", "--version"], capture_output=True, check=True, timeout=VERSION_SECONDS
        ).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        return False
    return re.search(rf"\b{major}\.\d", printed) is not None
