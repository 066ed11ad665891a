"""What the name of a file or folder alone shows: that nobody wrote it by hand, or that it may hold a secret."""

import re
from collections.abc import Set as AbstractSet
from fnmatch import translate
from functools import cache
from typing import Final

_FOREIGN_FOLDERS: Final = frozenset(
    (
        *(".git", ".hg", ".svn", ".bzr", ".jj"),
        *("LC_MESSAGES", "node_modules", "bower_components", "jspm_packages", "vendor", "site-packages"),
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
    *("*.po", "*.pot", "*.svg", "*.snap"),
)
"""Files that tools write for tools: minified code and maps, locks, protocol stubs, catalogues, drawings, snapshots."""

_SECRET: Final = (
    *(".env", ".env.*", "*.env", ".envrc", ".npmrc", ".pypirc", ".netrc", "_netrc", ".pgpass", ".my.cnf", ".htpasswd"),
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "*.ovpn", "*.tfstate", "*.tfstate.backup", "*.tfvars"),
    *("credentials", "credentials.*", ".git-credentials", ".dockercfg", ".dockerconfigjson", "secrets.*", ".s3cfg"),
    *("kubeconfig", "service-account*.json", "client_secret*.json", "terraform.rc", ".terraformrc", ".boto"),
)
"""From GitHub's gitignore templates and the file names that gitleaks and trufflehog list."""

_NO_SECRET: Final = ("*.example", "*.sample", "*.template", "*.dist", "*.md", "*.rst", "*.py", "*.js", "*.ts", "*.tsx")
_NO_SECRET_CODE: Final = ("*.go", "*.rs", "*.java", "*.c", "*.h", "*.cpp", "*.rb", "*.html", "*.css", "*.tf")


def is_foreign(folder: str, siblings: AbstractSet[str]) -> bool:
    """Whether the contents of a folder are fetched, built or cached, judging by its name and the files beside it."""
    if folder in _FOREIGN_FOLDERS or folder.endswith(_FOREIGN_SUFFIXES):
        return True
    return not siblings.isdisjoint(_OUTPUTS.get(folder, frozenset()))


def marks_foreign(names: AbstractSet[str]) -> bool:
    """Whether one of these files marks its folder as a cache, an environment or a build."""
    return not names.isdisjoint(_MARKERS)


def is_generated(name: str) -> bool:
    """Whether a tool writes files of this name."""
    return _matches(name, _GENERATED)


def may_be_secret(name: str) -> bool:
    """Whether files of this name usually hold secrets; examples and code do not."""
    return _matches(name, _SECRET) and not _matches(name, _NO_SECRET) and not _matches(name, _NO_SECRET_CODE)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return _union(patterns).match(name.lower()) is not None


@cache
def _union(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Return one expression for all patterns: one match a file instead of dozens, for ten thousands of files."""
    return re.compile("|".join(translate(pattern) for pattern in patterns))
