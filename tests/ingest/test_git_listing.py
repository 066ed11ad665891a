"""What is ingested in a work tree is what git lists, whatever it ignores it by."""

import os
import random
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

import pytest

from memos_mcp.domain.errors import SourceUnavailable
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import walk
from memos_mcp.ingest.git import command, work_trees
from memos_mcp.ingest.git.command import GitRefused
from memos_mcp.ingest.git.listing import list_work_tree
from memos_mcp.ingest.git.status import GitStatus
from tests.ingest.git_trees import found, listed, repository, run_git, skipped, write

FOLDERS = ["", "a", "b", "out", "keep", "a/b", "a/keep", "a/b/out", "keep/a", "b/b"]
FILES = ["c.py", "d.txt", "x.log", "!x"]
PATTERNS = [
    *("*", "!*/", "!*.py", "*.txt", "/*", "!/a", "!/a/", "a/*", "!a/b", "out/", "/out", "**/keep", "a/**", "!a/keep"),
    *("!keep", "x.log", "!x.log", "*.log", "a/**/b", "b/", "!b/", "/a/b", "[ab]", "?.py", "!c.py", "\\!x", "#c"),
    *("keep/*", "!keep/c.py", "a/b/", "!a/b/", "**/b/**", "**", "*/", "!d.txt", "!", "//", "foo\\"),
]


def random_tree(root: Path, chance: random.Random) -> set[str]:
    """Make a repository with random files, rules and tracked files; return the tracked ones."""
    run_git(root, "init", "--quiet")
    paths = [f"{folder}/{file}".lstrip("/") for folder in FOLDERS for file in FILES if chance.random() < 0.7]
    write(root, *paths)
    for folder in chance.sample(FOLDERS, chance.randint(1, 4)):
        write(root / folder, ".gitignore", text="\n".join(chance.sample(PATTERNS, chance.randint(1, 4))) + "\n")
    tracked = [path for path in paths if chance.random() < 0.2] if chance.random() < 0.5 else []
    if tracked:
        run_git(root, "add", "--force", "--", *tracked)
    return set(tracked)


def refuse(*_folders: Path) -> None:
    raise GitRefused("git is not installed")


def assert_same_files(seeds: Sequence[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in seeds:
        with TemporaryDirectory(prefix="memos-test-") as folder, monkeypatch.context() as patch:
            root = Path(folder).resolve()
            tracked = random_tree(root, random.Random(seed))
            expected = listed(root)
            assert (seed, found(root)) == (seed, expected)
            assert (seed, SkipReason.NEW in skipped(root).values()) == (seed, False)
            patch.setattr(work_trees, "list_work_tree", refuse)
            # Without git it is not known that a file is tracked although a pattern matches it.
            assert (seed, found(root) | tracked) == (seed, expected)


def test_git_and_the_rules_without_it_agree_on_random_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_files(range(40), monkeypatch)


@pytest.mark.slow
def test_git_and_the_rules_without_it_agree_on_500_random_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same_files(range(100, 600), monkeypatch)


def test_a_tracked_file_that_a_pattern_matches_is_found(tmp_path: Path) -> None:
    repository(tmp_path, "out/kept.py", "a.py", ignore="out/\n")
    write(tmp_path, "out/new.py", "out/deep/new.py")

    assert found(tmp_path) == {".gitignore", "a.py", "out/kept.py"}
    assert skipped(tmp_path)["out/new.py"] == skipped(tmp_path)["out/deep/"] == SkipReason.IGNORED


def test_tracked_files_in_a_folder_named_vendor_are_found(tmp_path: Path) -> None:
    repository(tmp_path, "src/vendor/own.py")
    write(tmp_path, "vendor/fetched.py")

    assert found(tmp_path) == {"src/vendor/own.py"}


def test_a_subfolder_of_a_work_tree_is_listed_by_git(tmp_path: Path) -> None:
    repository(tmp_path, "app/a.py", "app/x.log", ignore="*.log\n/app/b.py\n")
    write(tmp_path, "app/b.py", "app/c.py", "app/y.log")

    assert found(tmp_path / "app") == {"a.py", "x.log", "c.py"}


def test_a_folder_that_its_repository_ignores_is_walked_by_other_rules(tmp_path: Path) -> None:
    repository(tmp_path, "a.py", ignore="out/\n")
    write(tmp_path, "out/b.py", "out/deep/c.py")
    (tmp_path / "out/.gitignore").write_text("deep/\n")

    walked = walk(tmp_path / "out")
    assert {entry.path for entry in walked} == {".gitignore", "b.py", "deep/"}
    assert walked.refusals == {"": "the repository ignores this folder"}


def test_the_exclude_file_counts_in_a_linked_worktree(tmp_path: Path) -> None:
    main = repository(tmp_path / "main", "a.py")
    (main / ".git/info/exclude").write_text("private.py\n")
    run_git(main, "worktree", "add", "--quiet", str(tmp_path / "linked"))
    write(tmp_path / "linked", "private.py", "b.py")

    assert found(tmp_path / "linked") == {"a.py", "b.py"}


def test_global_excludes_and_those_of_the_configuration_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "root", "a.py")
    write(root, "x.one", "x.two", "b.py")
    write(tmp_path, "home/git/ignore", text="*.one\n")
    write(tmp_path, "excludes", text="*.two\n")
    monkeypatch.setenv("HOME", str(tmp_path / "no configuration"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    assert found(root) == {"a.py", "b.py", "x.two"}

    run_git(root, "config", "core.excludesFile", str(tmp_path / "excludes"))
    assert found(root) == {"a.py", "b.py", "x.one"}


def test_submodules_are_walked_and_their_own_git_decides(tmp_path: Path) -> None:
    library = repository(tmp_path / "library", "lib.py", "x.log", ignore="*.tmp\n*.log\n")
    root = repository(tmp_path / "root", "a.py", ignore="*.py\n")
    run_git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "libs/library")
    write(root, "libs/library/new.py", "libs/library/y.tmp")

    assert {path for path in found(root) if "libs/" in path} == {
        "libs/library/.gitignore", "libs/library/lib.py", "libs/library/x.log", "libs/library/new.py"
    }  # fmt: skip


def test_an_untracked_repository_is_walked_and_its_own_git_decides(tmp_path: Path) -> None:
    root = repository(tmp_path, "a.py", ignore="*.log\n")
    repository(root / "tools/nested", "n.py", "n.log", ignore="*.tmp\n")
    write(root, "tools/nested/x.tmp", "tools/nested/new.py")

    assert {path for path in found(root) if "nested" in path} == {
        "tools/nested/.gitignore", "tools/nested/n.py", "tools/nested/n.log", "tools/nested/new.py"
    }  # fmt: skip


def test_linked_worktrees_inside_a_checkout_are_skipped_and_named(tmp_path: Path) -> None:
    root = repository(tmp_path, "a.py")
    run_git(root, "worktree", "add", "--quiet", "trees/feature")

    walked = walk(root)
    assert [entry.path for entry in walked] == [".git/", "a.py", "trees/feature/"]
    assert skipped(root)["trees/feature/"] == SkipReason.WORKTREE
    assert walked.worktrees == ["trees/feature/"]


def test_repositories_below_an_ordinary_folder_are_decided_by_git(tmp_path: Path) -> None:
    repository(tmp_path / "one", "a.py", "kept.log", ignore="*.log\n")
    write(tmp_path, "one/x.log", "loose.log")

    assert found(tmp_path) == {"loose.log", "one/.gitignore", "one/a.py", "one/kept.log"}


def test_a_submodule_that_is_not_initialised_is_an_empty_folder(tmp_path: Path) -> None:
    library = repository(tmp_path / "library", "lib.py")
    root = repository(tmp_path / "root", "a.py")
    run_git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    run_git(root, "commit", "--quiet", "--message", "Add the library")
    run_git(tmp_path, "clone", "--quiet", str(root), "clone")

    walked = walk(tmp_path / "clone")
    assert {entry.path for entry in walked} == {".git/", ".gitmodules", "a.py"}
    assert walked.refusals == {}


def test_a_name_that_git_composes_is_recognized(tmp_path: Path) -> None:
    decomposed = "cafe\u0301.py"
    listing = list_work_tree(repository(tmp_path, normalize("NFC", decomposed)), tmp_path)

    assert listing.status(decomposed, is_folder=False) is GitStatus.TRACKED


def test_a_file_that_appears_after_git_has_listed_the_folder_is_kept_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path, "a.py")

    def listed_before(folder: Path, top: Path) -> object:
        listing = list_work_tree(folder, top)
        write(root, "new.py", "folder/new.py")
        return listing

    monkeypatch.setattr(work_trees, "list_work_tree", listed_before)
    transient = [entry.path for entry in walk(root) if getattr(entry, "transient", False)]
    assert transient == ["new.py", "folder/new.py"]


def test_without_git_the_gitignore_files_decide_and_the_reason_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path, "a.py", "x.log", ignore="*.log\n")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    walked = walk(tmp_path)
    assert {entry.path for entry in walked} == {".git/", ".gitignore", "a.py", "x.log"}
    assert walked.refusals == {"": "git is not installed"}


def test_in_a_broken_repository_the_gitignore_files_decide(tmp_path: Path) -> None:
    repository(tmp_path, "a.py", ignore="*.log\n")
    write(tmp_path, "x.log")
    (tmp_path / ".git/index").write_bytes(b"no index")

    walked = walk(tmp_path)
    assert "x.log" not in {entry.path for entry in walked if not hasattr(entry, "reason")}
    assert walked.refusals[""].startswith("git cannot use the repository: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_in_a_repository_of_another_user_the_gitignore_files_decide(tmp_path: Path) -> None:
    repository(tmp_path, "a.py", ignore="*.log\n")
    os.chown(tmp_path, 12_345, 12_345)
    os.chown(tmp_path / ".git", 12_345, 12_345)

    walked = walk(tmp_path)
    assert [entry.path for entry in walked] == [".git/", ".gitignore", "a.py"]
    assert walked.refusals[""].startswith("another user owns the repository")


def test_a_configuration_that_names_another_work_tree_does_not_decide(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/b.py")
    root = repository(tmp_path / "root", "a.py")
    run_git(root, "config", "core.worktree", str(tmp_path / "elsewhere"))

    walked = walk(root)
    assert {entry.path for entry in walked} == {".git/", "a.py"}
    assert walked.refusals == {"": "git finds another work tree"}


def test_a_checkout_starts_no_program(tmp_path: Path) -> None:
    root = repository(tmp_path / "root", "a.py")
    started = tmp_path / "started"
    write(tmp_path, "program", text=f"#!/bin/sh\ntouch '{started}'\n")
    (tmp_path / "program").chmod(0o755)
    run_git(root, "config", "core.fsmonitor", str(tmp_path / "program"))
    run_git(root, "config", "core.hooksPath", str(tmp_path))
    run_git(root, "config", "core.pager", str(tmp_path / "program"))
    write(root, "b.py")

    assert found(root) == {"a.py", "b.py"}
    assert not started.exists()


def test_the_environment_of_a_git_hook_names_no_other_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, other = repository(tmp_path / "root", "a.py"), repository(tmp_path / "other", "b.py")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))

    assert {entry.path for entry in walk(root)} == {".git/", "a.py"}


def test_a_git_that_does_not_answer_ends_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = repository(tmp_path / "root", "a.py")
    write(tmp_path, "bin/git", text="#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(command, "TIMEOUT_SECONDS", 0.2)

    with pytest.raises(SourceUnavailable, match=r"git did not answer in .* within 0\.2 seconds"):
        list(walk(root))


@pytest.mark.parametrize(
    "message",
    [
        "fatal: unable to read index: Input/output error",
        "fatal: cannot open .git/index: Too many open files",
        "warning: unable to access 'a/.gitignore': Permission denied",
    ],
)
def test_a_git_that_cannot_read_ends_the_walk_instead_of_ignoring_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    root = repository(tmp_path / "root", "a.py")
    code = 0 if message.startswith("warning") else 128
    write(tmp_path, "bin/git", text=f'#!/bin/sh\necho "{message}" >&2\nexit {code}\n')
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    with pytest.raises(SourceUnavailable, match="git cannot read"):
        list(walk(root))
