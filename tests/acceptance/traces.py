"""All that a home keeps and its commands print, to search for what must be in none of it."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.acceptance.servers import Server

TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"


def outputs(environment: Mapping[str, str], *commands: tuple[str, ...], given: str = "") -> Iterator[str]:
    """Run commands of `memos-as` as a user; yield what each prints to stdout and stderr."""
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "memos_mcp", *command],
            env=environment,
            input=given.encode(),
            capture_output=True,
            timeout=90,
            check=False,
        )
        yield f"{done.stdout.decode(errors='replace')}{done.stderr.decode(errors='replace')}"


def written(home: Path, *, without: str = "") -> dict[str, bytes]:
    """Return the content of all files of a home by their paths, but for the one of a name."""
    found = {}
    for path in home.rglob("*"):
        if path.is_file() and path.name != without:
            try:
                found[str(path.relative_to(home))] = path.read_bytes()
            except FileNotFoundError:
                continue  # Postgres and the index remove files while they run
    return found


def unpacked(backup: Path) -> bytes:
    """Return what is in a backup, whose parts are compressed."""
    with zipfile.ZipFile(backup) as parts:
        return b"".join(map(parts.read, parts.namelist()))


async def traces(server: Server, environment: Mapping[str, str], folder: Path) -> dict[str, bytes]:
    """Return what is in the files, rows and logs of a running server's home, and what all commands print."""
    commands: list[tuple[str, ...]] = [
        ("status", "--json"),
        ("doctor", "--json"),
        ("list", "--json"),
        ("tools", "list", "--json"),
        ("tools", "show", "till.answers", "mcp.repeat", "--json"),
        ("tools", "outcomes", "--json"),
        ("tools", "search", "repeat a word", "--json"),
        ("tools", "check", "--json"),
        ("export", str(folder / "export"), "--all-namespaces"),
        ("backup", str(folder / "backup")),
    ]
    texts = map(str.encode, outputs(environment, *commands))
    printed = dict(zip(map(" ".join, commands), texts, strict=True))
    tables = [table["relname"] for table in await server.rows(TABLES)]
    rows = [row["text"] for table in tables for row in await server.rows(f"SELECT one::text AS text FROM {table} one")]
    files = {"export": (folder / "export").read_bytes(), "backup": unpacked(folder / "backup")}
    return {**printed, **files, "rows": "\n".join(rows).encode(), "log": server.log.encode(), **written(server.home)}


def holding(found: Mapping[str, bytes], text: str) -> dict[str, bytes]:
    """Return what holds a text, with the words around it."""
    wanted = text.lower().encode()
    return {
        name: content[max(0, at - 200) : at + 100]
        for name, content in found.items()
        if (at := content.lower().find(wanted)) >= 0
    }
