"""The command that restores a backup: all of it, or nothing."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePath
from typing import Final

import anyio
from tqdm import tqdm

from memos_mcp.archive.archive_reader import Archive, opened_archive
from memos_mcp.archive.manifest import DAMAGED
from memos_mcp.cli.console import INTERRUPTED, cancelled_by_signals
from memos_mcp.composition.adapters import embedded_postgres
from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.postgres.record_loading import NotEmpty, check_known, load_into
from memos_mcp.settings import Settings

ANOTHER_HOME: Final = (
    "{problem} Restore into another MEMOS_HOME, or add --replace, which keeps the data folder of this one under "
    "another name. Nothing was changed."
)
ANOTHER_DATABASE: Final = "{problem} Create an empty database and set MEMOS_DATABASE_URL to it. Nothing was changed."
BUNDLED_ONLY: Final = (
    "--replace is for the bundled PostgreSQL. Create an empty database and set MEMOS_DATABASE_URL to it. "
    "Nothing was changed."
)


async def restore(settings: Settings, *, path: Path, replace: bool) -> int:
    """Check the whole file first, then load it in one transaction, or into a data folder that replaces the other."""
    if replace and settings.database_url is not None:
        raise Invalid(BUNDLED_ONLY)
    with anyio.CancelScope() as stop, cancelled_by_signals(stop), opened_archive(path) as archive:
        check_known(archive.outline)
        with _progress("checked", archive) as progress:
            archive.verify(progress)
        loadouts = _new_loadouts(settings.loadouts, archive, replace=replace)
        with _without_engine(settings), _progress("restored", archive) as progress:
            finish = partial(_write_loadouts, settings.loadouts, loadouts)
            kept = await _load(settings, archive, progress, finish, replace=replace)
        print(_summary(archive, kept))
        return 0
    print("Stopped. If anything is restored, all of it is; run the same command again to find out.")
    return INTERRUPTED


async def _load(
    settings: Settings,
    archive: Archive,
    progress: Callable[[int], object],
    finish: Callable[[], object],
    *,
    replace: bool,
) -> Path | None:
    """Load into the database of the settings; return the name of the data folder that was replaced."""
    if settings.database_url is not None:
        url, prepared = settings.database_url.get_secret_value(), settings.database_prepared_statements
        try:
            await load_into(url, archive, progress, finish=finish, prepared_statements=prepared)
        except NotEmpty as error:
            raise Invalid(ANOTHER_DATABASE.format(problem=error)) from error
        return None
    server = embedded_postgres(settings)
    async with server.alone():
        if replace:
            return await server.replace(lambda url: load_into(url, archive, progress, finish=finish))
        try:
            await load_into(await server.start(), archive, progress, finish=finish)
        except NotEmpty as error:
            raise Invalid(ANOTHER_HOME.format(problem=error)) from error
        return None


@contextmanager
def _without_engine(settings: Settings) -> Iterator[None]:
    """Keep engines of the data folder from running; raise `Unavailable` when one runs."""
    if sys.platform == "win32":
        yield
        return
    from memos_mcp.ipc.run_dir import ENGINE_LOCK, START_LOCK, RunDir

    run_dir = RunDir(str(settings.home))
    locks = []
    try:
        run_dir.prepare()
        for name in (START_LOCK, ENGINE_LOCK):
            if (lock := run_dir.try_lock(name)) is None:
                raise Unavailable(
                    f"An engine serves {run_dir.home}. Stop it first: memos-as stop. Nothing was changed."
                )
            locks.append(lock)
    except OSError as error:
        raise Unavailable(f"{run_dir.home} cannot be used: {error.strerror}.") from error
    else:
        yield
    finally:
        for lock in locks:
            os.close(lock)


@contextmanager
def _progress(label: str, archive: Archive) -> Iterator[Callable[[int], object]]:
    with tqdm(total=archive.outline.rows, unit="row", unit_scale=True, desc=label) as bar:
        yield bar.update


def _new_loadouts(folder: Path, archive: Archive, *, replace: bool) -> dict[str, bytes]:
    """Return the loadout files that the folder lacks; raise `Invalid` when it has others of their names."""
    found = dict[str, bytes]()
    for name in archive.manifest.loadouts:
        if PurePath(name).name != name or "\\" in name:
            raise Invalid(DAMAGED.format(problem="a loadout has the name of another folder"))
        content = archive.loadout(name)
        if not (folder / name).exists():
            found[name] = content
        elif _read(folder / name) != content:
            if not replace:
                raise Invalid(
                    f"The folder MEMOS_LOADOUTS has another {name} than the backup. Rename it, or add --replace, "
                    "which does that. Nothing was changed."
                )
            found[name] = content
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}. Nothing was changed.") from error


def _write_loadouts(folder: Path, loadouts: Mapping[str, bytes]) -> None:
    """Write the files; a file of another content gets a name that no loadout has."""
    try:
        for name, content in loadouts.items():
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            if path.exists():
                path.rename(path.with_name(f"{name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
            path.write_bytes(content)
    except OSError as error:
        raise Unavailable(f"The folder MEMOS_LOADOUTS cannot be written: {error.strerror}.") from error


def _summary(archive: Archive, kept: Path | None) -> str:
    rows = {table.name: table.rows for table in archive.outline.tables}
    former = "" if kept is None else f"\nWhat the home had before is kept in {kept}; delete it when you are sure."
    return (
        f"{rows['agent_memories']:,} memories and {rows['registered_tools']:,} tools of {archive.manifest.created_at} "
        f"are restored. The next start indexes them.{former}"
    )
