"""What the name of a file or folder alone shows: that nobody wrote it by hand, or that it may hold a secret."""

import re
from collections.abc import Set as AbstractSet
from fnmatch import translate
from functools import cache
from pathlib import PurePosixPath
from typing import Final

from memos_mcp.ingest.files.languages import is_program, language_of_name

_REPOSITORIES: Final = frozenset({".git", ".hg", ".svn", ".bzr", ".jj"})

_FOREIGN_FOLDERS: Final = frozenset(
    (
        *("node_modules", "bower_components", "jspm_packages", "vendor", "site-packages"),
        *("__pycache__", ".venv", ".virtualenv", ".tox", ".nox", ".eggs"),
        *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints"),
        *(".gradle", ".idea", ".vs", ".next", ".nuxt", ".svelte-kit", ".parcel-cache"),
        *(".turbo", ".yarn", ".terraform", ".serverless", ".direnv", ".nyc_output"),
    )
)
_FOREIGN_SUFFIXES: Final = (".egg-info", ".dist-info", ".xcodeproj", ".framework")

_MARKERS: Final = frozenset({"CACHEDIR.TAG", "pyvenv.cfg", "CMakeCache.txt"})
"""Files that mark their folder as a cache (https://bford.info/cachedir/), an environment or a build."""

_OUTPUTS: Final = {
    "build": frozenset({"pyproject.toml", "setup.py", "package.json", "CMakeLists.txt", "build.gradle", "pom.xml"}),
    "dist": frozenset({"pyproject.toml", "setup.py", "package.json"}),
    "target": frozenset({"Cargo.toml", "pom.xml", "build.sbt"}),
}
"""Folders that are build output only beside one of these files; elsewhere they are ordinary folders."""

_GENERATED: Final = (
    *("*.min.js", "*.min.css", "*.min.mjs", "*-min.js", "*.bundle.js", "*.js.map", "*.css.map", "*.map"),
    *("*.lock", "*.lockb", "package-lock.json", "npm-shrinkwrap.json"),
    *("pnpm-lock.yaml", "go.sum", "packages.lock.json"),
    *("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*.pb.go", "*.pb.cc", "*.pb.h", "*.g.dart", "*.designer.cs"),
    *("*.svg", "*.snap"),
)
"""Files that tools write for tools: minified code and maps, locks, protocol stubs, drawings, snapshots."""

_DATA_FORMATS: Final = {
    f".{suffix}": name
    for name, suffixes in {
        "delimited": "csv tsv tab",
        "json lines": "jsonl ndjson",
        "json": "json geojson har",
        "yaml": "yaml yml",
        "xml": "xml xliff xlf resx rss gpx kml",
        "sql": "sql",
        "gettext": "po pot",
    }.items()
    for suffix in suffixes.split()
}

_SECRET: Final = (
    *(".env", ".env.*", "*.env", ".envrc", ".npmrc", ".pypirc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.ovpn", "*.tfstate", "*.tfstate.backup", "*.tfvars"),
    *("credentials", "credentials.*", ".git-credentials", ".dockercfg", ".dockerconfigjson", "secrets.*", ".s3cfg"),
    *("kubeconfig", "service-account*.json", "client_secret*.json", "terraform.rc", ".terraformrc", ".boto"),
)
"""From GitHub's gitignore templates and the file names that gitleaks and trufflehog list."""

_NO_SECRET: Final = ("*.example", "*.sample", "*.template", "*.dist", "*.md", "*.rst", "*.html", "*.css", "*.tf")

_ASSIGNS_VARIABLES: Final = (".env.*", "*.sh", "*.bash", "*.zsh")
"""A shell script that is called `secrets.sh` sets the secrets, and `.env.cs` is no C#."""


def is_repository(folder: str) -> bool:
    """Whether a version control system keeps its own files in a folder of this name."""
    return folder in _REPOSITORIES


_PACKED: Final = (".ipynb", ".pdf", ".docx", ".pptx", ".xlsx", ".odt", ".odp", ".ods")
"""Files of which only a part is text."""


def is_packed(name: str) -> bool:
    """Whether most bytes of files of this name are pictures, fonts and outputs."""
    return name.lower().endswith(_PACKED)


def is_foreign(folder: str, siblings: AbstractSet[str]) -> bool:
    """Whether the contents of a folder are fetched, built or cached, judging by its name and the files beside it."""
    if is_repository(folder) or folder in _FOREIGN_FOLDERS or folder.endswith(_FOREIGN_SUFFIXES):
        return True
    return not siblings.isdisjoint(_OUTPUTS.get(folder, frozenset()))


def marks_foreign(names: AbstractSet[str]) -> bool:
    """Whether one of these files marks its folder as a cache, an environment or a build."""
    return not names.isdisjoint(_MARKERS)


def is_generated(name: str) -> bool:
    """Whether a tool writes files of this name."""
    return _matches(name, _GENERATED)


def data_format(path: str) -> str | None:
    """Return the format of a file that may hold data, which is summarized: of a large one, the first part is read."""
    return _DATA_FORMATS.get(PurePosixPath(path).suffix.lower())


def may_be_secret(name: str) -> bool:
    """Whether files of this name usually hold secrets; examples and code do not."""
    if not _matches(name, _SECRET) or _matches(name, _NO_SECRET):
        return False
    return _matches(name, _ASSIGNS_VARIABLES) or not is_program(language_of_name(name))


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _union(patterns).match(name.lower()) is not None


@cache
def _union(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all patterns: one match a file instead of dozens, for ten thousands of files."""
    return re.compile("|".join(translate(pattern) for pattern in patterns))
