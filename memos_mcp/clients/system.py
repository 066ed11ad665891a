"""Where programs keep their configuration on this system, for this user and project."""

import ntpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

Folder: TypeAlias = Literal[
    "home",
    "project",
    "config",
    "application_data",
    "claude",
    "claude_settings",
    "codex",
    "gemini",
    "cline",
    "zed",
    "goose",
]

Scope: TypeAlias = Literal["user", "project"]

_EMPTY_OBJECT: Final = "{}\n"


@dataclass(frozen=True, slots=True)
class System:
    """A system as clients see it.

    Args:
        platform: as `sys.platform` has it.
        home: the folder of the user.
        project: the folder that a project's configuration is in.
        environment: the variables that may name other folders.

    """

    platform: str
    home: Path
    project: Path
    environment: Mapping[str, str]

    def folder(self, name: Folder) -> Path:
        """Return a folder, which need not exist."""
        windows = self.platform == "win32"
        config = self._named("XDG_CONFIG_HOME", self.home / ".config")
        application_data = self._application_data(config)
        folders: dict[Folder, Path] = {
            "home": self.home,
            "project": self.project,
            "config": config,
            "application_data": application_data,
            "claude": self._named("CLAUDE_CONFIG_DIR", self.home),
            "claude_settings": self._named("CLAUDE_CONFIG_DIR", self.home / ".claude"),
            "codex": self._named("CODEX_HOME", self.home / ".codex"),
            "gemini": self._named("GEMINI_CLI_HOME", self.home) / ".gemini",
            "cline": self._named("CLINE_DATA_DIR", self._named("CLINE_DIR", self.home / ".cline") / "data"),
            "zed": application_data / "Zed" if windows else self._zed_config(config) / "zed",
            "goose": application_data / "Block" / "goose" / "config" if windows else config / "goose",
        }
        return folders[name]

    def _application_data(self, config: Path) -> Path:
        match self.platform:
            case "darwin":
                return self.home / "Library" / "Application Support"
            case "win32":
                return self._named("APPDATA", self.home / "AppData" / "Roaming")
            case _:
                return config

    def _zed_config(self, config: Path) -> Path:
        return self.home / ".config" if self.platform == "darwin" else config

    def _named(self, variable: str, default: Path) -> Path:
        """Return the folder that a variable names; the XDG rules have a relative one ignored."""
        value = self.environment.get(variable, "")
        return Path(value) if Path(value).is_absolute() or ntpath.isabs(value) else default


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of one scope: the first of its names that exists, else the first name.

    Args:
        folder: the folder that the names are relative to.
        names: relative paths.
        empty: what a new file has besides the entry.

    """

    folder: Folder
    names: tuple[str, ...]
    empty: str = _EMPTY_OBJECT

    def path(self, system: System) -> Path:
        """Return its path, which need not exist."""
        paths = [system.folder(self.folder) / name for name in self.names]
        return next((path for path in paths if path.exists()), paths[0])
