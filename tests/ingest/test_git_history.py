"""The commits of real repositories."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from memos_mcp.domain.commit import ChangedFile, Commit
from memos_mcp.domain.errors import Invalid
from memos_mcp.ingest.git import history as module
from memos_mcp.ingest.git.history import GitHistory, open_history
from tests.ingest.git_repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "shop")


def read(history: GitHistory) -> list[Commit]:
    """Return all commits, oldest first."""
    commits = list(history.read(history.commits(), history.boundary()))
    assert all(isinstance(commit, Commit) for commit in commits)
    return [commit for commit in reversed(commits) if isinstance(commit, Commit)]


def test_commits_are_read_with_their_messages_authors_dates_and_changes(repository: Repository) -> None:
    one = repository.commit("Start", a_py="1\n2\n", src__b_py="1\n")
    (repository.folder / "logo.png").write_bytes(b"\x89PNG\0\0")
    repository.git("mv", "src/b.py", "src/c.py")
    two = repository.commit("Two\n\nBecause.\n", day=2, a_py="2\n3\n4\n")
    first, second = read(open_history(repository.folder))
    assert (first.hash, first.parents, first.author, first.message) == (one, 0, "Ann Lee", "Start\n")
    assert first.files == [ChangedFile("a.py", 2, 0), ChangedFile("src/b.py", 1, 0)]
    assert (second.hash, second.parents, second.message) == (two, 1, "Two\n\nBecause.\n")
    assert datetime.fromtimestamp(second.timestamp, UTC) == datetime(2026, 1, 2, 12, tzinfo=UTC)
    assert second.files == [
        ChangedFile("a.py", 2, 1),
        ChangedFile("logo.png"),
        ChangedFile("src/c.py", 0, 0, former="src/b.py"),
    ]


def test_many_commits_are_read_in_batches(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_COMMITS", 2)
    hashes = [repository.commit(f"{number}\n0\t0\tx", a_py=str(number)) for number in range(5)]
    commits = read(open_history(repository.folder))
    assert [commit.hash for commit in commits] == hashes
    assert [commit.message for commit in commits] == [f"{number}\n0\t0\tx\n" for number in range(5)]
    assert {len(commit.files or ()) for commit in commits} == {1}


def test_a_merge_and_an_empty_commit_change_no_files(repository: Repository) -> None:
    repository.commit("Start", a_py="1")
    repository.git("checkout", "-q", "-b", "other")
    repository.commit("Other", b_py="1")
    repository.git("checkout", "-q", "main")
    repository.commit("Nothing")
    repository.git("merge", "-q", "--no-ff", "other", "-m", "Merge branch 'other'")
    commits = {commit.message.strip(): commit for commit in read(open_history(repository.folder))}
    assert (commits["Merge branch 'other'"].parents, commits["Merge branch 'other'"].files) == (2, [])
    assert commits["Nothing"].files == []


def test_a_subfolder_has_the_commits_that_change_it_with_paths_relative_to_it(repository: Repository) -> None:
    repository.commit("Start", a_py="1")
    source = repository.commit("Source", src__app__b_py="1", a_py="2")
    repository.commit("Again", a_py="3")
    (commit,) = read(open_history(repository.folder / "src"))
    assert (commit.hash, commit.files) == (source, [ChangedFile("app/b.py", 1, 0)])


def test_commits_after_a_time_or_another_commit_are_listed(repository: Repository) -> None:
    one, two, three = (repository.commit(f"{day}", day=day, a_py=f"{day}") for day in (1, 2, 3))
    repository.git("tag", "v2", two)
    history = open_history(repository.folder)
    assert history.commits() == [three, two, one]
    assert history.commits(datetime(2026, 1, 2, 12, tzinfo=UTC)) == [three, two]
    assert history.commits(history.resolve("v2")) == [three]
    assert history.resolve(two[:8]) == two
    for name in ("v3", "--all", "HEAD^{tree}"):
        with pytest.raises(Invalid, match="is no date such as 2026-05-01, and no commit"):
            history.resolve(name)


def test_the_encoding_of_a_message_is_that_which_the_commit_names_or_an_assumed_one(repository: Repository) -> None:
    latin = ("-c", "i18n.commitEncoding=ISO-8859-1")
    repository.commit("Größe".encode("latin-1"), *latin)
    repository.commit("価格を直す")
    raw = repository.git("cat-file", "commit", "HEAD").replace("価格を直す", "Größe €")
    odd = repository.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=raw.encode("windows-1252"))
    repository.git("reset", "-q", "--hard", odd)
    commits = read(open_history(repository.folder))
    assert [commit.message.strip() for commit in commits] == ["Größe", "Größe €"]
    assert [commit.encoding for commit in commits] == [None, "windows-1252"]


def test_a_file_name_that_is_not_utf_8_is_shown_with_its_bytes(repository: Repository) -> None:
    (repository.folder / b"caf\xe9".decode("utf-8", "surrogateescape")).write_text("1")
    repository.commit("Odd")
    (commit,) = read(open_history(repository.folder))
    assert commit.files == [ChangedFile("caf\\xe9", 1, 0)]
    commit.new_memory("shop").check()


def test_the_boundary_of_a_shallow_clone_has_no_known_changes(repository: Repository, tmp_path: Path) -> None:
    for day in (1, 2, 3):
        repository.commit(f"{day}", day=day, a_py=f"{day}")
    clone = Repository(tmp_path)
    clone.git("clone", "-q", "--depth", "2", f"file://{repository.folder}", "shallow")
    two, three = read(open_history(tmp_path / "shallow"))
    assert (two.message, two.files) == ("2\n", None)
    assert three.files == [ChangedFile("a.py", 1, 1)]


@pytest.mark.parametrize(
    ("omitted", "files"), [("blob:none", [ChangedFile("a.py"), ChangedFile("b.py")]), ("tree:0", None)]
)
def test_a_partial_clone_fetches_nothing(
    repository: Repository, tmp_path: Path, omitted: str, files: list[ChangedFile] | None
) -> None:
    repository.commit("One", a_py="1", b_py="1")
    repository.git("config", "uploadpack.allowFilter", "true")
    parent = Repository(tmp_path)
    parent.git("clone", "-q", "--no-checkout", "--filter", omitted, f"file://{repository.folder}", "partial")
    before = sorted((tmp_path / "partial" / ".git" / "objects").rglob("*"))
    (commit,) = read(open_history(tmp_path / "partial"))
    assert (commit.message, commit.files) == ("One\n", files)
    assert sorted((tmp_path / "partial" / ".git" / "objects").rglob("*")) == before


def test_the_configuration_of_a_repository_starts_no_program(repository: Repository, tmp_path: Path) -> None:
    mark = tmp_path / "started"
    program = f"sh -c 'touch {mark}'"
    repository.commit("One", a_py="1", _gitattributes="*.py diff=odd\n")
    repository.commit("Two", a_py="2")
    for name in (
        "diff.external",
        "diff.odd.command",
        "diff.odd.textconv",
        "core.fsmonitor",
        "core.pager",
        "gpg.program",
    ):
        repository.git("config", name, program)
    repository.git("config", "log.showSignature", "true")
    assert len(read(open_history(repository.folder))) == 2
    assert not mark.exists()


def test_a_repository_without_commits_has_none(repository: Repository) -> None:
    history = open_history(repository.folder)
    assert (history.head(), history.commits(), history.reachable()) == (None, [], set())


def test_a_folder_outside_of_repositories_has_no_history(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"has no history: .*\. Leave out --history\."):
        open_history(tmp_path)


def test_a_damaged_commit_is_named_with_the_error_and_others_are_read(repository: Repository) -> None:
    one = repository.commit("One", a_py="1")
    history = open_history(repository.folder)
    missing = "0" * 39 + "1"
    bad, good = history.read([missing, one], ())
    assert isinstance(bad, tuple)
    assert bad[0] == missing
    assert bad[1]
    assert isinstance(good, Commit)
