import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, walk


def tree(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("text\n")


def found(root: Path) -> list[str]:
    return [entry.path for entry in walk(root) if isinstance(entry, FoundFile)]


def skipped(root: Path) -> dict[str, str]:
    return {entry.path: entry.reason for entry in walk(root) if isinstance(entry, Skipped)}


def test_files_are_sorted_by_name_and_come_before_subfolders(tmp_path: Path) -> None:
    tree(tmp_path, "b/z.py", "b/a/y.py", "a/x.py", "c.py")

    assert found(tmp_path) == ["c.py", "a/x.py", "b/z.py", "b/a/y.py"]


def test_links_are_skipped_so_that_cycles_end_and_nothing_outside_is_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    tree(root, "a/x.py", "b/y.py")
    tree(outside, "secret.py")
    (root / "a/self").symlink_to(root / "a", target_is_directory=True)
    (root / "a/up").symlink_to("..", target_is_directory=True)
    (root / "b/there").symlink_to(root / "a", target_is_directory=True)
    (root / "a/back").symlink_to(root / "b", target_is_directory=True)
    (root / "b/out").symlink_to(outside, target_is_directory=True)
    (root / "twice.py").symlink_to("a/x.py")
    (root / "nowhere.py").symlink_to("missing.py")

    assert found(root) == ["a/x.py", "b/y.py"]
    assert skipped(root) == dict.fromkeys(
        ["nowhere.py", "twice.py", "a/back", "a/self", "a/up", "b/out", "b/there"], SkipReason.LINK
    )


def test_a_root_that_is_a_link_is_walked(tmp_path: Path) -> None:
    tree(tmp_path, "real/x.py")
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)

    assert found(tmp_path / "link") == ["x.py"]


def test_a_root_that_is_not_a_folder_raises_an_error(tmp_path: Path) -> None:
    tree(tmp_path, "x.py")

    for root in (tmp_path / "x.py", tmp_path / "missing"):
        with pytest.raises(OSError, match=str(root.name)):
            list(walk(root))


def test_pipes_and_sockets_do_not_block_even_as_gitignore(tmp_path: Path) -> None:
    tree(tmp_path, "x.py")
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / ".gitignore")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))

        assert skipped(tmp_path) == dict.fromkeys([".gitignore", "pipe", "socket"], SkipReason.SPECIAL)
        assert found(tmp_path) == ["x.py"]


def test_a_huge_file_is_skipped_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(1024**3)

    assert skipped(tmp_path) == {"huge.py": SkipReason.TOO_LARGE}


def test_names_with_control_characters_or_broken_bytes_are_reported_escaped(tmp_path: Path) -> None:
    for name in (b"two\nlines.py", b"bytes\xff.py", b"bell\x07.py"):
        (tmp_path / os.fsdecode(name)).write_text("x = 1\n")

    assert skipped(tmp_path) == dict.fromkeys(
        [r"bell\x07.py", r"bytes\udcff.py", r"two\nlines.py"], SkipReason.UNNAMEABLE
    )


@pytest.mark.parametrize(
    "name",
    [
        "全角\u3000空白.py",
        "\u0645\u06cc\u200c\u062e.py",
        "👩\u200d💻.py",
        "no\u00a0break.py",
        "e\u0301.py",
        "\u202eltr.py",
        "\ufeffmark.py",
    ],
)
def test_names_in_any_script_are_found(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert found(tmp_path) == [name]


def test_fetched_built_and_cached_folders_are_skipped_entirely(tmp_path: Path) -> None:
    tree(tmp_path, "node_modules/a.js", "web/node_modules/b.js", "src/__pycache__/c.py", ".venv/d.py", ".git/HEAD")
    tree(tmp_path, "cache/CACHEDIR.TAG", "cache/e.py", "env/pyvenv.cfg", "env/f.py", "pyproject.toml", "build/g.py")
    tree(tmp_path, "rust/Cargo.toml", "rust/target/h.rs", "src/build/kept.py", "src/target/kept.rs")

    assert found(tmp_path) == ["pyproject.toml", "rust/Cargo.toml", "src/build/kept.py", "src/target/kept.rs"]
    assert set(skipped(tmp_path).values()) == {SkipReason.FOREIGN}


@pytest.mark.parametrize(
    "name", [".env", ".env.local", "prod.env", "server.pem", "tls.key", "id_rsa", "a.p12", "credentials", ".npmrc",
             ".pypirc", ".netrc", "credentials.json", "terraform.tfstate", "client_secret_1.json"]
)  # fmt: skip
def test_a_file_named_like_a_secret_is_skipped(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert skipped(tmp_path) == {name: SkipReason.SECRET}


@pytest.mark.parametrize(
    "name", [".env.example", "credentials.py", "secrets.go", "environment.py", "keys.ts", "key.md", "id_rsa.md"]
)
def test_code_and_examples_about_secrets_are_found(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert found(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a.min.js", "package-lock.json", "uv.lock", "go.sum", "api_pb2.py", "a.svg"])
def test_generated_files_are_recognized_by_their_name(tmp_path: Path, name: str) -> None:
    tree(tmp_path, name)

    assert skipped(tmp_path) == {name: SkipReason.GENERATED}


def test_a_folder_that_cannot_be_listed_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "closed/x.py", "open/y.py")
    scandir = os.scandir

    def closed(path: Path) -> object:  # tests may run as root, whom permissions do not stop
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)

    assert found(tmp_path) == ["open/y.py"]
    assert skipped(tmp_path) == {"closed/": SkipReason.UNREADABLE}


def test_a_walk_within_paths_lists_only_the_folders_above_and_below_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "a/b/c.py", "a/b/d.py", "a/e/f.py", "g/h/i.py", "g/j.py", "k.py", "l/m.py")
    scandir, listed = os.scandir, set[str]()

    def listing(path: Path) -> object:
        listed.add(Path(path).relative_to(tmp_path).as_posix())
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listing)
    entries = walk(tmp_path, within=frozenset({"a/b/c.py", "g", "missing/n.py"}))

    assert [entry.path for entry in entries] == ["a/b/c.py", "g/j.py", "g/h/i.py"]
    assert listed == {".", "a", "a/b", "g", "g/h"}


def test_walking_imports_no_parser() -> None:
    code = (
        "import sys, memos_mcp.ingest.files.walk; sys.exit(any(name.startswith('tree_sitter') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
