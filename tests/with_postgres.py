"""Runs a command with MEMOS_TEST_DATABASE_URL set to a PostgreSQL server that is started for it and removed afterwards.

python tests/with_postgres.py /usr/lib/postgresql/15/bin python -m pytest tests/postgres
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import chown
from tempfile import TemporaryDirectory

SETTINGS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 -c listen_addresses="
USERS = ("postgres", "nobody")
"""Postgres refuses to run as root; as root, the server runs as the first of these that exists."""


@contextmanager
def server(programs: Path, options: str = "") -> Iterator[str]:
    """Start a server in a temporary folder; yield the URL of its database `postgres`."""
    user = server_user()
    with TemporaryDirectory(prefix="memos-postgres-") as folder:
        if user is not None:
            chown(folder, user)
        data = Path(folder, "data")
        log = ["-l", f"{folder}/log", "-w", "-o", f"{SETTINGS} -c unix_socket_directories={folder} {options}"]
        _run(user, programs / "initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D", data)
        _run(user, programs / "pg_ctl", "-D", data, *log, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            _run(user, programs / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop")


def server_user() -> str | None:
    """Return the user that the server runs as, or None for this process's own."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)


def _run(user: str | None, *command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)


def main() -> int:
    """Run the command; return its exit code."""
    programs, *command = sys.argv[1:]
    with server(Path(programs)) as url:
        return subprocess.run(command, check=False, env={**os.environ, "MEMOS_TEST_DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main())
