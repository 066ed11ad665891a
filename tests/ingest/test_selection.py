"""What is selected: by lists, by patterns, by what git tracks, and by size."""

from pathlib import Path

import pytest

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.files.path_patterns import is_pattern
from memos_mcp.ingest.files.selection import MAX_BYTES, FileRules, FileSelection
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, walk
from tests.ingest.git_trees import repository, run_git


def tree(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("text\n")


def found(root: Path, *patterns: str, max_bytes: int = MAX_BYTES) -> list[str]:
    entries = walk(root, selection=FileSelection.of(patterns, max_bytes))
    return sorted(entry.path for entry in entries if isinstance(entry, FoundFile) and entry.file.name != ".memosignore")


def skipped(root: Path, *patterns: str) -> dict[str, str]:
    return {
        entry.path: entry.reason
        for entry in walk(root, selection=FileSelection.of(patterns))
        if isinstance(entry, Skipped)
    }


def entered(selection: FileSelection | SkipReason, *names: str) -> FileSelection:
    """Return the selection for the contents of a folder that is entered and holds these names."""
    assert isinstance(selection, FileSelection)
    inside = selection.contents(Path("nowhere"), "", set(names))
    assert isinstance(inside, FileSelection)
    return inside


@pytest.mark.parametrize("path", ["vendor", "src/vendor", "node_modules", "build", ".idea", "acme.egg-info"])
def test_a_listed_folder_is_skipped_unless_git_tracks_something_in_it(path: str) -> None:
    siblings = {"pyproject.toml", "package.json"}

    assert FileSelection().folder(path, siblings, tracked=False) is SkipReason.FOREIGN
    assert isinstance(FileSelection().folder(path, siblings, tracked=True), FileSelection)


def test_only_tracked_files_are_selected_in_a_listed_folder() -> None:
    vendor = entered(FileSelection().folder("src/vendor", set(), tracked=True))
    acme = entered(vendor.folder("src/vendor/acme", set(), tracked=True))

    assert acme.file("src/vendor/acme/own.py", 10, tracked=True) == FileRules()
    assert acme.file("src/vendor/acme/fetched.py", 10, tracked=False) is SkipReason.FOREIGN
    assert vendor.folder("src/vendor/fetched", set(), tracked=False) is SkipReason.FOREIGN


def test_what_git_tracks_in_listed_folders_is_selected_in_a_work_tree(tmp_path: Path) -> None:
    root = repository(tmp_path / "shop", "src/vendor/own.py", "build/tool.py", "env/pyvenv.cfg", "env/own.py")
    tree(root, "package.json", "src/vendor/new.py", "src/vendor/fetched/a.py", "build/out/b.js", "env/lib/c.py")

    assert found(root) == ["build/tool.py", "env/own.py", "env/pyvenv.cfg", "package.json", "src/vendor/own.py"]
    run_git(root, "add", "src/vendor/new.py")
    assert "src/vendor/new.py" in found(root)
    assert "src/vendor/fetched/a.py" in found(root, "!src/vendor/fetched/")


def test_a_marked_folder_is_skipped_unless_git_tracks_something_in_it() -> None:
    untracked = FileSelection().folder("env", set(), tracked=False)
    assert isinstance(untracked, FileSelection)
    assert untracked.contents(Path("env"), "env/", {"pyvenv.cfg"}) is SkipReason.FOREIGN

    tracked = entered(FileSelection().folder("env", set(), tracked=True), "pyvenv.cfg")
    assert tracked.file("env/own.py", 10, tracked=True) == FileRules()
    assert tracked.file("env/fetched.py", 10, tracked=False) is SkipReason.FOREIGN


def test_the_files_of_a_version_control_system_are_never_selected() -> None:
    for patterns in ((), ("!.git/", "!.git/config")):
        assert FileSelection.of(patterns).folder(".git", set(), tracked=True) is SkipReason.FOREIGN


def test_an_included_folder_is_entered_although_a_list_names_it(tmp_path: Path) -> None:
    tree(tmp_path, "vendor/acme/a.py", "vendor/other/b.py", "web/vendor/c.py")

    assert found(tmp_path) == []
    assert found(tmp_path, "!vendor/") == ["vendor/acme/a.py", "vendor/other/b.py", "web/vendor/c.py"]
    assert found(tmp_path, "!/vendor/") == ["vendor/acme/a.py", "vendor/other/b.py"]


def test_a_pattern_opens_the_folders_above_what_it_includes(tmp_path: Path) -> None:
    tree(tmp_path, "vendor/acme/a.py", "vendor/acme/node_modules/b.js", "vendor/other/c.py", "vendor/d.py")

    assert found(tmp_path, "!vendor/acme/") == ["vendor/acme/a.py"]
    assert found(tmp_path, "!vendor/*/c.py") == ["vendor/other/c.py"]
    assert found(tmp_path, "!vendor/**/c.py") == ["vendor/other/c.py"]
    assert skipped(tmp_path, "!vendor/acme/") == dict.fromkeys(
        ["vendor/acme/node_modules/", "vendor/d.py", "vendor/other/"], SkipReason.FOREIGN
    )


def test_a_pattern_without_a_slash_does_not_open_skipped_folders(tmp_path: Path) -> None:
    tree(tmp_path, "node_modules/a/logo.svg", "logo.svg")

    assert found(tmp_path, "!*.svg") == ["logo.svg"]


def test_excluded_files_and_folders_are_skipped_with_the_reason(tmp_path: Path) -> None:
    tree(tmp_path, "a.py", "a.log", "tests/b.py", "src/tests/c.py")

    assert found(tmp_path, "*.log", "/tests/") == ["a.py", "src/tests/c.py"]
    assert skipped(tmp_path, "*.log", "/tests/") == dict.fromkeys(["a.log", "tests/"], SkipReason.EXCLUDED)


def test_the_last_pattern_that_matches_counts(tmp_path: Path) -> None:
    tree(tmp_path, "a.log", "keep.log")

    assert found(tmp_path, "*.log", "!keep.log") == ["keep.log"]
    assert found(tmp_path, "!keep.log", "*.log") == []


def test_a_memosignore_counts_below_its_folder(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b/a.txt", "b/c/a.txt", "b/c/d.txt", "b/logo.svg", "logo.svg")
    (tmp_path / "b/.memosignore").write_text("# what nobody reads\na.txt\n!logo.svg\n")
    (tmp_path / "b/c/.memosignore").write_text("!a.txt\nd.txt\n")

    assert found(tmp_path) == ["a.txt", "b/c/a.txt", "b/logo.svg"]
    assert skipped(tmp_path) == {
        "b/a.txt": SkipReason.MEMOSIGNORE,
        "b/c/d.txt": SkipReason.MEMOSIGNORE,
        "logo.svg": SkipReason.GENERATED,
    }


def test_a_memosignore_includes_what_a_list_names(tmp_path: Path) -> None:
    tree(tmp_path, "vendor/acme/a.py", "vendor/b.py", "cache/CACHEDIR.TAG", "cache/c.py")
    (tmp_path / ".memosignore").write_text("!vendor/acme/\n!cache/\n")

    assert found(tmp_path) == ["cache/CACHEDIR.TAG", "cache/c.py", "vendor/acme/a.py"]


def test_an_option_takes_precedence_over_a_memosignore(tmp_path: Path) -> None:
    tree(tmp_path, "a.txt", "b.txt")
    (tmp_path / ".memosignore").write_text("a.txt\n!b.txt\n")

    assert found(tmp_path, "!a.txt", "b.txt") == ["a.txt"]


def test_a_memosignore_above_the_folder_counts_in_a_repository_only(tmp_path: Path) -> None:
    tree(tmp_path, "repository/part/a.txt", "repository/part/b.txt")
    (tmp_path / ".memosignore").write_text("*\n")
    (tmp_path / "repository/.memosignore").write_text("/part/a.txt\n")

    assert found(tmp_path / "repository/part") == ["a.txt", "b.txt"]
    (tmp_path / "repository/.git").mkdir()
    assert found(tmp_path / "repository/part") == ["b.txt"]


def test_a_folder_that_was_requested_by_name_is_not_excluded_by_a_memosignore_above(tmp_path: Path) -> None:
    tree(tmp_path, "part/a.txt")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".memosignore").write_text("part/\n*.txt\n")

    assert found(tmp_path / "part") == ["a.txt"]


def test_a_folder_whose_memosignore_cannot_be_read_is_not_ingested_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a/private.txt", "b/open.txt")
    (tmp_path / "a/.memosignore").write_text("private.txt\n")
    read_bytes = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == ".memosignore":
            raise OSError(5, "Input/output error")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", failing)

    assert found(tmp_path) == ["b/open.txt"]


def test_no_pattern_includes_a_secret_or_what_git_ignores(tmp_path: Path) -> None:
    tree(tmp_path, ".env", "id_rsa", "noise.log", "out/a.py")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*.log\nout/\n")
    (tmp_path / ".memosignore").write_text("!.env\n!*.log\n")

    assert found(tmp_path, "!id_rsa", "!out/", "!*") == [".gitignore"]


def test_an_included_file_is_selected_although_it_is_generated_or_large(tmp_path: Path) -> None:
    tree(tmp_path, "logo.svg", "package-lock.json")
    (tmp_path / "large.txt").write_bytes(b"x\n" * MAX_BYTES)

    assert found(tmp_path) == []
    assert found(tmp_path, "!*.svg", "!large.txt") == ["large.txt", "logo.svg"]


def test_the_size_limit_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 10)
    (tmp_path / "b.txt").write_bytes(b"x" * 11)

    assert found(tmp_path, max_bytes=10) == ["a.txt"]
    assert found(tmp_path, max_bytes=11) == ["a.txt", "b.txt"]


@pytest.mark.parametrize("text", ["*.po", "vendor/acme/", "/docs", r"\!important", r"\#1", "a b", "ü/**"])
def test_a_pattern_is_a_line_of_a_gitignore(text: str) -> None:
    assert is_pattern(text)


@pytest.mark.parametrize("text", ["", " ", "!a", "#a", "/", "a\nb", "a\\"])
def test_a_text_without_a_pattern_is_recognized(text: str) -> None:
    assert not is_pattern(text)


@pytest.mark.parametrize(
    "name",
    [
        "Credentials.kt",
        "Secrets.swift",
        "secrets.rs",
        "credentials.cs",
        "Secrets.scala",
        "secrets.lua",
        "credentials.php",
    ],
)
def test_code_about_secrets_is_selected_in_every_language(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert found(tmp_path) == [name]


@pytest.mark.parametrize(
    "name", ["secrets.sh", ".env.cs", "credentials.sql", "secrets.yaml", "secrets.toml", "secrets"]
)
def test_a_file_that_sets_secrets_is_skipped_in_every_language(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert skipped(tmp_path) == ({} if name == "secrets" else {name: SkipReason.SECRET})


def test_a_locale_in_a_path_is_no_reason_to_skip_a_file(tmp_path: Path) -> None:
    tree(tmp_path, "locale/de/LC_MESSAGES/app.po", "locale/de/formats.py")

    assert found(tmp_path) == ["locale/de/LC_MESSAGES/app.po", "locale/de/formats.py"]


def test_links_are_not_followed_to_a_memosignore(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree(root, "a.txt")
    (tmp_path / "patterns").write_text("*.txt\n")
    (root / ".memosignore").symlink_to(tmp_path / "patterns")

    assert found(root) == ["a.txt"]
