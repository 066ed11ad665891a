"""Compares the walk with git itself: it skips exactly the files that git ignores."""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, walk

PATTERNS = st.sampled_from(
    [
        *(
            "*",
            "!*/",
            "!*.py",
            "*.txt",
            "/*",
            "!/a",
            "!/a/",
            "a/*",
            "!a/b",
            "out/",
            "/out",
            "**/keep",
            "a/**",
            "!a/keep",
        ),
        *("!keep", "x.log", "!x.log", "*.log", "a/**/b", "b/", "!b/", "/a/b", "[ab]", "?.py", "!c.py", "\\!x", "#c"),
        *("keep/*", "!keep/c.py", "a/b/", "!a/b/", "**/b/**", "**", "*/", "!d.txt", "!", "//", "foo\\"),
    ]
)
FOLDERS = ["", "a", "b", "out", "keep", "a/b", "a/keep", "a/b/out", "keep/a", "b/b"]
FILES = ["c.py", "d.txt", "x.log", "!x"]
RULES = st.dictionaries(st.sampled_from(FOLDERS), st.lists(PATTERNS, min_size=1, max_size=4), min_size=1, max_size=4)


def git(root: Path, *arguments: str, given: str = "") -> list[str]:
    done = subprocess.run(
        ["git", "-C", root, "-c", "core.excludesFile=", *arguments],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.split("\0")


def repository(root: Path, rules: dict[str, list[str]]) -> list[str]:
    git(root, "init", "-q")
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for file in FILES:
            (root / folder / file).write_text("x\n")
    for folder, lines in rules.items():
        (root / folder / ".gitignore").write_text("\n".join(lines) + "\n")
    return [
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and ".git/" not in str(path)
    ]


def kept_by_git(root: Path, paths: list[str]) -> set[str]:
    ignored = git(root, "check-ignore", "--no-index", "-z", "--stdin", given="\0".join(paths))
    return set(paths) - set(ignored)


@settings(max_examples=25)
@given(RULES)
def test_the_walk_skips_exactly_what_git_ignores(rules: dict[str, list[str]]) -> None:
    with TemporaryDirectory(prefix="memos-test-") as folder:
        root = Path(folder).resolve()
        paths = repository(root, rules)

        assert {entry.path for entry in walk(root) if isinstance(entry, FoundFile)} == kept_by_git(root, paths)


def test_nested_negated_anchored_and_folder_patterns_agree_with_git(tmp_path: Path) -> None:
    paths = repository(tmp_path, {"": ["*.log", "/out", "b/"], "a": ["!x.log", "/b/*", "!/b/c.py"], "keep": ["*"]})

    found = {entry.path for entry in walk(tmp_path) if isinstance(entry, FoundFile)}

    assert found == kept_by_git(tmp_path, paths)
    assert {"a/x.log", "c.py", "a/keep/x.log"} <= found
    assert not {"x.log", "out/c.py", "b/c.py", "a/b/c.py", "keep/c.py"} & found


def test_the_rules_of_the_enclosing_repository_apply_in_a_subfolder(tmp_path: Path) -> None:
    repository(tmp_path, {"": ["*.log", "/a/d.txt"], "a": ["c.py"]})

    assert {entry.path for entry in walk(tmp_path / "a" / "b") if isinstance(entry, FoundFile)} == {
        "!x", "d.txt", "out/!x", "out/d.txt"
    }  # fmt: skip
    assert Skipped("d.txt", SkipReason.IGNORED) in set(walk(tmp_path / "a"))


def test_an_ignored_folder_that_is_requested_by_name_is_walked(tmp_path: Path) -> None:
    repository(tmp_path, {"": ["a/"]})

    assert "c.py" in {entry.path for entry in walk(tmp_path / "a") if isinstance(entry, FoundFile)}


def test_the_exclude_file_of_the_repository_applies(tmp_path: Path) -> None:
    repository(tmp_path, {"a": ["none"]})
    (tmp_path / ".git/info/exclude").write_text("*.py\n")

    assert not any(entry.path.endswith(".py") for entry in walk(tmp_path) if isinstance(entry, FoundFile))
