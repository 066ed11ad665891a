"""`memos-as ingest --history`: which commits it stores, reads again and removes."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from memos_mcp.app import App, compose
from memos_mcp.cli.command_line import main
from memos_mcp.cli.ingest_report import ReportOutput
from memos_mcp.cli.ingesting import IngestRun
from memos_mcp.cli.ingesting_history import HistoryRun, history_run
from memos_mcp.domain.errors import SourceUnavailable
from memos_mcp.domain.memory import Memory, MemoryFilter, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import StoredFile
from memos_mcp.ingest.files.file_stamps import FileStamps
from memos_mcp.ingest.files.selection import WITHOUT_PATTERNS
from memos_mcp.ingest.git.history import GitHistory
from memos_mcp.postgres.database import Database
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.services.ingestion import IngestReport
from memos_mcp.settings import Settings
from tests.fakes import HashEmbedder
from tests.ingest.git_repository import Repository

pytestmark = pytest.mark.anyio

ANN = Scope("team", "ann")
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3rS5tU7vW9xY1zA3bC5"


@pytest.fixture
def app(tmp_path: Path, database: Database) -> App:
    """An app whose indexer does not run."""
    return compose(
        Settings(home=tmp_path), database, EdgeIndex(tmp_path / "index", hnsw_threshold=1_000), HashEmbedder()
    )


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "shop")


def run(repository: Repository, since: str | None = None, source: str = "shop") -> HistoryRun:
    output = ReportOutput(list_skipped=False, as_json=False)
    return history_run(repository.folder, ANN, source, since, output, anyio.Event(), confirmed=False)


async def ingest(app: App, repository: Repository, since: str | None = None, source: str = "shop") -> IngestReport:
    return await run(repository, since, source).execute(app, quiet=True)


async def stored(app: App, **metadata: Any) -> list[Memory]:
    """Return the stored memories, oldest first."""
    page = await app.memories.query(ANN, MemoryQuery(filter=MemoryFilter(metadata=metadata or None), limit=100))
    return [hit.memory for hit in reversed(page.hits)]


async def subjects(app: App, **metadata: Any) -> list[str]:
    return [memory.content.split("\n", 1)[0] for memory in await stored(app, **metadata)]


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.new, report.changed, report.unchanged, report.removed


async def test_the_reason_of_a_change_is_found_by_the_path_and_the_source(app: App, repository: Repository) -> None:
    repository.commit("Start", src__cart_py="1")
    repository.commit("Count empty carts, because the till did", day=2, src__cart_py="2")
    repository.commit("Say hello", day=3, docs__hello_md="x")
    assert counts(await ingest(app, repository)) == (3, 0, 0, 0)
    assert await subjects(app, paths=["src/cart.py"], source="shop") == [
        "Start",
        "Count empty carts, because the till did",
    ]
    assert await subjects(app, folders=["docs"]) == ["Say hello"]
    assert [memory.occurred_at.day for memory in await stored(app)] == [1, 2, 3]


async def test_a_recorded_commit_is_not_read_again(
    app: App, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("One", a_py="1")
    await ingest(app, repository)
    two = repository.commit("Two", day=2, a_py="2")
    read: list[str] = []
    plain = GitHistory.read

    def recording(self: GitHistory, hashes: list[str], boundary: Iterable[str]) -> Any:
        read.extend(hashes)
        return plain(self, hashes, frozenset(boundary))

    monkeypatch.setattr(GitHistory, "read", recording)
    assert counts(await ingest(app, repository)) == (1, 0, 1, 0)
    assert counts(await ingest(app, repository)) == (0, 0, 2, 0)
    assert read == [two]


async def test_a_commit_that_no_branch_has_any_more_is_removed(app: App, repository: Repository) -> None:
    repository.commit("Start", a_py="1")
    repository.commit("Wrong", day=2, a_py="2")
    await ingest(app, repository)
    repository.git("reset", "-q", "--hard", "HEAD^")
    repository.commit("Right", day=3, a_py="3")
    assert counts(await ingest(app, repository)) == (1, 0, 1, 1)
    assert await subjects(app) == ["Start", "Right"]


async def test_a_commit_of_another_branch_stays_while_that_is_not_checked_out(app: App, repository: Repository) -> None:
    start = repository.commit("Start", a_py="1")
    repository.commit("Later", day=2, a_py="2")
    await ingest(app, repository)
    repository.git("checkout", "-q", start)
    assert counts(await ingest(app, repository)) == (0, 0, 2, 0)


async def test_a_time_or_commit_limits_what_is_added_and_removes_nothing(app: App, repository: Repository) -> None:
    for day in range(1, 6):
        repository.commit(f"Day {day}", day=day, a_py=f"{day}")
    await ingest(app, repository, "2026-01-04")
    assert await subjects(app) == ["Day 4", "Day 5"]
    await ingest(app, repository, "HEAD~3")
    assert await subjects(app) == ["Day 3", "Day 4", "Day 5"]
    assert counts(await ingest(app, repository, "2026-01-05")) == (0, 0, 3, 0)


async def test_what_gives_no_reason_and_what_may_hold_a_secret_is_skipped(app: App, repository: Repository) -> None:
    repository.commit(f"Rotate the token {TOKEN}", a_py="1")
    repository.commit("", day=2, a_py="2")
    repository.git("checkout", "-q", "-b", "other")
    repository.commit("Other", day=3, b_py="1")
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--no-ff", "other", "-m", "Merge branch 'other'")
    report = await ingest(app, repository)
    assert report.reasons() == {"without a message of its own": 2, "may hold a secret": 1}
    assert await subjects(app) == ["Other"]


async def test_no_address_is_stored(app: App, repository: Repository) -> None:
    repository.commit("Fix\n\nSuggested by cat@example.org.\n\nSigned-off-by: Ann <ann@example.org>", a_py="1")
    await ingest(app, repository)
    (memory,) = await stored(app)
    assert "Signed-off-by: Ann" in memory.content
    assert "example.org" not in memory.content + str(memory.metadata)
    assert memory.metadata["author"] == "Ann Lee"


async def test_a_dry_run_reads_and_stores_nothing(app: App, repository: Repository) -> None:
    repository.commit("One", a_py="1")
    report = await run(repository).execute(app, write=False, quiet=True)
    assert (report.new, report.chunks.created) == (1, 1)
    assert await stored(app) == []


async def test_the_boundary_of_a_shallow_clone_is_read_again_when_its_parents_are_fetched(
    app: App, repository: Repository, tmp_path: Path
) -> None:
    for day in (1, 2):
        repository.commit(f"Day {day}", day=day, a_py=f"{day}", b_py=f"{day}")
    Repository(tmp_path).git("clone", "-q", "--depth", "1", f"file://{repository.folder}", "shallow")
    shallow = Repository(tmp_path / "shallow")
    await ingest(app, shallow)
    assert ["files" in memory.metadata for memory in await stored(app)] == [False]
    shallow.git("fetch", "-q", "--unshallow")
    assert counts(await ingest(app, shallow)) == (1, 1, 0, 0)
    assert [memory.metadata["files"] for memory in await stored(app)] == [2, 2]


async def test_a_repository_that_cannot_be_read_keeps_its_record(app: App, repository: Repository) -> None:
    repository.commit("One", a_py="1")
    commits = run(repository)
    await commits.execute(app, quiet=True)
    (repository.folder / ".git" / "HEAD").write_text("nonsense")
    with pytest.raises(SourceUnavailable, match="The history of shop cannot be read"):
        await commits.execute(app, quiet=True)
    assert await subjects(app) == ["One"]


async def test_files_and_commits_of_a_source_do_not_remove_each_other(app: App, repository: Repository) -> None:
    repository.commit("One", a_py="1")
    file = StoredFile("a.py", b"1", [NewMemory("a.py\n\n1", kind="document", metadata={"source": "shop"})])
    await ingest(app, repository)
    for _ in range(2):
        report = await app.ingestion.ingest(ANN, "shop", iter([_Stored(file)]), lambda _report: None)
        assert report.removed == 0
        assert (await ingest(app, repository)).removed == 0
    assert sorted(await subjects(app, source="shop")) == ["One", "a.py"]
    await app.ingestion.ingest(ANN, "shop", iter(()), lambda _report: None)
    assert await subjects(app, source="shop") == ["One"]


class _Stored:
    def __init__(self, file: StoredFile) -> None:
        self._file = file
        self.path = file.path

    def read(self, known_digest: bytes | None) -> StoredFile | None:
        return None if known_digest == self._file.digest else self._file


async def test_a_commit_of_two_clones_is_stored_once_and_found_by_each(app: App, repository: Repository) -> None:
    repository.commit("One", a_py="1")
    await ingest(app, repository)
    await ingest(app, repository, source="fork")
    assert len(await stored(app)) == 1
    assert await subjects(app, source="shop") == await subjects(app, source="fork") == ["One"]


async def test_a_new_commit_without_changed_paths_is_ingested_and_no_folder_is_walked(
    app: App, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit("One", docs__a_py="1")
    stamps = FileStamps(tmp_path / "stamps", "1")
    output = ReportOutput(list_skipped=False, as_json=False)
    both = IngestRun(
        repository.folder, ANN, "shop", WITHOUT_PATTERNS, output, False, stamps, anyio.Event(), run(repository)
    )
    await both.execute(app, quiet=True)
    repository.commit("Two", day=2, docs__a_py="2")
    listed: list[str] = []
    plain = os.scandir

    def recording(path: str) -> Any:
        listed.append(Path(path).name)
        return plain(path)

    monkeypatch.setattr(os, "scandir", recording)
    report = await both.execute(app, quiet=True, within=frozenset())
    assert counts(report) == (0, 0, 0, 0)
    assert set(listed) <= {"shop"}
    assert sorted(await subjects(app, source="shop")) == ["One", "Two", "docs/a.py"]


async def test_a_commit_is_noticed_while_the_history_is_followed(app: App, repository: Repository) -> None:
    repository.commit("One", a_py="1")
    commits, changed = run(repository), anyio.Event()
    await commits.execute(app, quiet=True)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(commits.follow, changed.set)
            while not changed.is_set():  # the watcher gives no sign when it has started
                await anyio.to_thread.run_sync(lambda: repository.commit("Two", day=2))
                with anyio.move_on_after(2):
                    await changed.wait()
            tasks.cancel_scope.cancel()
    assert (await commits.execute(app, quiet=True)).new >= 1
    assert counts(await commits.execute(app, quiet=True)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "2026-01-01"], "Give --history too"),
        (["--history"], "has no history"),
        (["--history", "--since", "never"], "has no history"),
    ],
)
def test_options_that_cannot_be_followed_say_what_to_do(
    tmp_path: Path,
    nothing_set: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(tmp_path / "home"))
    (tmp_path / "folder").mkdir()
    assert main(["ingest", str(tmp_path / "folder"), *options]) != 0
    assert message in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("since", ["2026-02-31", "no-such-tag"])
def test_a_limit_that_is_no_time_and_no_commit_is_refused(
    repository: Repository, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], since: str
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(repository.folder.parent / "home"))
    repository.commit("One", a_py="1")
    assert main(["ingest", str(repository.folder), "--history", "--since", since]) != 0
    assert "--since: " in capsys.readouterr().err


def test_files_and_commits_are_ingested_by_one_command(
    home: Path, repository: Repository, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(home))
    repository.commit("One", a_py="def one():\n    return 1\n")
    for expected in ("commits: 1 new, 0 changed, 0 unchanged", "commits: 0 new, 0 changed, 1 unchanged"):
        assert main(["ingest", str(repository.folder), "--history", "--no-wait"]) == 0
        files, *_, commits = capsys.readouterr().out.splitlines()
        assert "0 removed; chunks" in files
        assert commits == f"shop: {expected}, 0 removed"


def unreadable(commit: str) -> Any:
    """Return a `GitHistory.read` that cannot read this commit."""
    plain = GitHistory.read

    def read(self: GitHistory, hashes: list[str], boundary: Iterable[str]) -> Iterator[Any]:
        for one in plain(self, hashes, frozenset(boundary)):
            yield (commit, "Input/output error") if getattr(one, "hash", None) == commit else one

    return read


def test_a_commit_that_cannot_be_read_is_named_and_the_command_exits_with_3(
    home: Path, repository: Repository, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", "unread")
    one = repository.commit("One", a_py="1")
    repository.commit("Two", day=2, a_py="2")
    ingest_history = ["ingest", str(repository.folder), "--history", "--no-wait"]
    with nothing_set.context() as patch:
        patch.setattr(GitHistory, "read", unreadable(one))
        assert main(ingest_history) == 3
    out, err = capsys.readouterr()
    assert "shop: commits: 1 new, " in out
    assert "memos-as: not read: 1; recorded commits kept: 0\n" in err
    assert f"not read: .git/commits/{one}: Input/output error\n" in err
    assert main(ingest_history) == 0
    assert "shop: commits: 1 new, 0 changed, 1 unchanged, " in capsys.readouterr().out


def test_most_commits_of_a_source_are_only_removed_with_yes(
    home: Path, repository: Repository, nothing_set: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing_set.setenv("MEMOS_HOME", str(home))
    nothing_set.setenv("MEMOS_NAMESPACE", "rewritten")
    for day in range(1, 13):
        repository.commit(f"Day {day}", day=day, a_py=f"{day}")
    ingest_history = ["ingest", str(repository.folder), "--history", "--no-wait"]
    assert main(ingest_history) == 0
    repository.git("checkout", "-q", "--orphan", "fresh")
    repository.commit("Fresh", day=13)
    repository.git("branch", "-q", "-D", "main")

    capsys.readouterr()
    assert main(ingest_history) == 3
    out, err = capsys.readouterr()
    assert "shop: commits: 1 new, 0 changed, 0 unchanged, 0 removed\n" in out
    assert "12 of 12 recorded commits are on no branch or tag any more, and none of them was removed." in err
    assert main([*ingest_history, "--yes"]) == 0
    assert "shop: commits: 0 new, 0 changed, 1 unchanged, 12 removed\n" in capsys.readouterr().out


async def test_a_history_rewritten_with_the_same_messages_needs_no_confirmation(
    app: App, repository: Repository
) -> None:
    for day in range(1, 13):
        repository.commit(f"Day {day}", day=day, a_py=f"{day}")
    await ingest(app, repository)
    repository.git("checkout", "-q", "--orphan", "rewritten")
    repository.git("rm", "-q", "-rf", ".")
    for day in range(1, 13):
        repository.commit(f"Day {day}", day=day, b_py=f"{day}")
    repository.git("branch", "-q", "-D", "main")
    report = await ingest(app, repository)
    assert (*counts(report), report.unconfirmed) == (12, 0, 0, 12, 0)
