"""Ingestion of files: what is read, written and reported, on a real record and a real index."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import anyio
import pytest

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import MemoryFilter, MemoryQuery, NewMemory
from memos_mcp.domain.scope import Scope
from memos_mcp.domain.source import Replaced, Skipped, SourceFile, StoredFile
from memos_mcp.services import ingestion as module
from memos_mcp.services.ingestion import UNSTORABLE, IngestReport
from tests.fakes import DownIndex, HashEmbedder
from tests.services.waiting import caught_up

pytestmark = pytest.mark.anyio

ANN = Scope("team", "ann")


@dataclass
class Page:
    """A file whose chunks are its lines. Counts how often it was cut."""

    path: str
    text: str
    encoding: str | None = None
    source: str = "app"
    cut: int = field(default=0)

    def read(self, known_digest: bytes | None) -> StoredFile | Skipped | None:
        digest = sha256(self.text.encode()).digest()
        if digest == known_digest:
            return None
        self.cut += 1
        lines = enumerate(self.text.splitlines(), start=1)
        return StoredFile(self.path, digest, [self._chunk(number, line) for number, line in lines])

    def _chunk(self, number: int, line: str) -> NewMemory:
        metadata = {"source": self.source, "path": self.path, "lines": [number, number]}
        if self.encoding is not None:
            metadata["encoding"] = self.encoding
        return NewMemory(f"{self.path}\n\n{line}", kind="document", metadata=metadata)


async def ingest(
    app: App, *files: SourceFile | Skipped, write: bool = True, confirmed: bool = False, source: str = "app"
) -> IngestReport:
    return await app.ingestion.ingest(ANN, source, iter(files), _ignore, write=write, confirmed=confirmed)


async def found(app: App, text: str, metadata: dict[str, Any] | None = None) -> list[str]:
    query = MemoryQuery(text, MemoryFilter(metadata=metadata))
    return [hit.memory.content for hit in (await app.memories.query(ANN, query)).hits]


def _ignore(_report: IngestReport) -> None:
    """Ignore the progress."""


async def test_a_report_counts_new_changed_unchanged_and_removed_files(idle_app: App) -> None:
    first = await ingest(idle_app, Page("a", "one\ntwo"), Page("b", "three"), Page("c", "four"))
    assert (first.new, first.changed, first.unchanged, first.removed) == (3, 0, 0, 0)
    assert first.chunks == Replaced(created=4)
    again = await ingest(idle_app, Page("a", "zero\none\ntwo"), Page("b", "three"), Page("d", "five"))
    assert (again.new, again.changed, again.unchanged, again.removed) == (1, 1, 1, 1)
    assert again.chunks == Replaced(created=2, moved=2, removed=1)
    assert again.wrote


async def test_an_unchanged_file_is_neither_cut_nor_written(idle_app: App) -> None:
    await ingest(idle_app, Page("a", "one\ntwo"))
    same = Page("a", "one\ntwo")
    report = await ingest(idle_app, same)
    assert (same.cut, report.unchanged, report.chunks, report.wrote) == (0, 1, Replaced(), False)


async def test_a_skipped_file_is_reported_with_its_reason_and_removed(idle_app: App) -> None:
    await ingest(idle_app, Page("a", "one"), Page("b", "two"))
    report = await ingest(idle_app, Page("a", "one"), Skipped("b", "binary"), Skipped("c", "binary"), Skipped("d", "x"))
    assert (report.removed, report.chunks.removed) == (1, 1)
    assert report.reasons() == {"binary": 2, "x": 1}


async def test_a_file_that_currently_cannot_be_read_is_unchanged(idle_app: App) -> None:
    await ingest(idle_app, Page("a", "one"))
    assert (await ingest(idle_app, Skipped("a", "changing", transient=True))).removed == 0
    assert (await ingest(idle_app, Page("a", "one"))).unchanged == 1


async def test_what_is_below_a_folder_that_cannot_be_read_is_kept_and_counted(idle_app: App) -> None:
    await ingest(idle_app, Page("a/b", "one"), Page("a/c/d", "two"), Page("ab", "three"), Page("e", "four"))
    unread = Skipped("a/", "could not be read", transient=True, error="Input/output error")
    report = await ingest(idle_app, unread, Page("e", "four"))
    assert (report.removed, report.kept, report.unchanged) == (1, 2, 1)
    assert report.unread == [unread]
    assert not report.complete
    again = await ingest(idle_app, Page("a/b", "one"), Page("a/c/d", "two"), Page("e", "four"))
    assert (again.unchanged, again.complete) == (3, True)


async def test_the_removal_of_more_than_half_of_a_source_must_be_confirmed(idle_app: App) -> None:
    pages = [Page(f"{number}", f"line {number}") for number in range(20)]
    await ingest(idle_app, *pages)
    half = await ingest(idle_app, *pages[:10])
    assert (half.removed, half.unconfirmed, half.complete) == (10, 0, True)
    await ingest(idle_app, *pages)
    refused = await ingest(idle_app, *pages[:9], Page("new", "stored meanwhile"))
    assert (refused.removed, refused.unconfirmed, refused.new, refused.complete) == (0, 11, 1, False)
    planned = await ingest(idle_app, *pages[:9], write=False)
    assert (planned.removed, planned.unconfirmed) == (0, 12)
    confirmed = await ingest(idle_app, *pages[:9], confirmed=True)
    assert (confirmed.removed, confirmed.unconfirmed, confirmed.complete) == (12, 0, True)


async def test_an_empty_folder_removes_no_source_of_some_size(idle_app: App) -> None:
    await ingest(idle_app, *(Page(f"{number}", f"line {number}") for number in range(10)))
    assert (await ingest(idle_app)).unconfirmed == 10


async def test_few_files_are_removed_without_confirmation(idle_app: App) -> None:
    await ingest(idle_app, *(Page(f"{number}", f"line {number}") for number in range(9)))
    assert (await ingest(idle_app)).removed == 9


async def test_renamed_files_need_no_confirmation(idle_app: App) -> None:
    await ingest(idle_app, *(Page(f"old/{number}", f"line {number}") for number in range(20)))
    report = await ingest(idle_app, *(Page(f"new/{number}", f"line {number}") for number in range(20)))
    assert (report.new, report.removed) == (20, 20)


async def test_a_run_within_some_paths_removes_nothing_else(idle_app: App) -> None:
    await ingest(idle_app, Page("a", "one"), Page("b/c", "two"), Page("b/d/e", "three"), Page("bc", "four"))
    report = await idle_app.ingestion.ingest(
        ANN, "app", iter([Page("b/c", "changed")]), _ignore, within=frozenset({"b", "x"})
    )
    assert (report.changed, report.removed) == (1, 1)
    assert (await ingest(idle_app, Page("a", "one"), Page("b/c", "changed"), Page("bc", "four"))).unchanged == 3


async def test_a_file_that_cannot_be_stored_is_skipped_and_others_are_ingested(idle_app: App) -> None:
    report = await ingest(idle_app, Page("a", "one\x00"), Page("half \udcff", "two"), Page("c", "three"), Page("d", ""))
    assert [(one.path, one.reason) for one in report.omitted] == [("a", UNSTORABLE), ("half \udcff", UNSTORABLE)]
    assert (report.new, report.chunks.created) == (2, 1)


async def test_a_report_counts_the_files_in_other_encodings(idle_app: App) -> None:
    report = await ingest(idle_app, Page("a", "one"), Page("b", "two", encoding="koi8-r"), Page("c", ""))
    assert report.encodings == {"koi8-r": 1}


async def test_the_name_of_a_source_may_hold_any_kind_of_space(idle_app: App) -> None:
    name = "全角\u3000\u00a0\u200d"
    report = await idle_app.ingestion.ingest(ANN, name, iter([Page("a", "one")]), _ignore)
    assert report.new == 1
    with pytest.raises(Invalid, match="the name of the source holds a control character or a line end"):
        await idle_app.ingestion.ingest(ANN, "a\u2028b", iter(()), _ignore)


async def test_a_source_needs_a_name_that_can_be_stored(idle_app: App) -> None:
    with pytest.raises(Invalid, match="the name of the source is empty"):
        await idle_app.ingestion.ingest(ANN, " ", iter(()), _ignore)


async def test_a_dry_run_counts_and_writes_nothing(idle_app: App) -> None:
    await ingest(idle_app, Page("a", "one"), Page("b", "two"))
    planned = await ingest(idle_app, Page("a", "one\nthree"), Page("c", "four"), write=False)
    assert (planned.new, planned.changed, planned.removed) == (1, 1, 1)
    assert planned.chunks == Replaced(created=3)
    assert await ingest(idle_app, Page("a", "one"), Page("b", "two")) == IngestReport(unchanged=2)


async def test_an_interrupted_run_has_stored_whole_batches_and_can_be_resumed(
    idle_app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_FILES", 2)
    pages = [Page(f"{number}", f"line of {number}") for number in range(7)]

    def breaking(pages: Iterable[Page]) -> Iterator[Page]:
        for number, page in enumerate(pages):
            if number == 5:
                raise OSError("the disk failed")
            yield page

    with pytest.raises(OSError, match="the disk failed"):
        await idle_app.ingestion.ingest(ANN, "app", breaking(pages), _ignore)
    report = await ingest(idle_app, *pages)
    assert (report.new, report.unchanged, report.removed) == (3, 4, 0)


async def test_progress_is_reported_after_each_batch(idle_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_FILES", 2)
    seen: list[int] = []
    files = iter([Page(f"{number}", "x") for number in range(5)])
    await idle_app.ingestion.ingest(ANN, "app", files, lambda report: seen.append(report.new))
    assert seen == [2, 4, 5]


async def test_chunks_are_found_while_their_file_exists(app: App, embedder: HashEmbedder) -> None:
    with anyio.fail_after(30):
        await ingest(app, Page("a", "the heron\nthe otter"), Page("b", "the kettle"))
        await caught_up(app)
        assert (await found(app, "heron"))[0] == "a\n\nthe heron"
        embedded = embedder.passages_embedded
        await ingest(app, Page("a", "the stoat\nthe heron\nthe otter"))
        await caught_up(app)
        assert embedder.passages_embedded == embedded + 1
        assert (await found(app, "stoat"))[0] == "a\n\nthe stoat"
        assert "b\n\nthe kettle" not in await found(app, "kettle")


async def test_a_shared_chunk_is_found_by_each_source_with_its_lines_there(app: App) -> None:
    await ingest(app, Page("a", "the heron"))
    await ingest(app, Page("a", "the otter\nthe heron", source="fork"), source="fork")
    await ingest(app, Page("a", "the stoat", source="lib"), source="lib")
    await caught_up(app)
    expected = {"app": [1, 1], "fork": [2, 2]}
    for text in ("heron", None):
        for source, lines in expected.items():
            asked = MemoryQuery(text, MemoryFilter(metadata={"source": source, "lines": lines}))
            (hit,) = (await app.memories.query(ANN, asked)).hits
            (other,) = expected.keys() - {source}
            also = [{"source": other, "lines": expected[other]}]
            assert hit.memory.metadata == {"source": source, "path": "a", "lines": lines, "also_in": also}
    assert await found(app, "heron", {"source": "lib"}) == ["a\n\nthe stoat"]
    await ingest(app, source="fork")
    await caught_up(app)
    assert await found(app, "heron", {"source": "fork"}) == []
    assert await found(app, "heron", {"source": "app"}) == ["a\n\nthe heron"]


async def test_an_outage_of_the_index_does_not_stop_a_run(app: App, index: DownIndex) -> None:
    index.down = True
    report = await ingest(app, Page("a", "the heron"))
    assert report.chunks == Replaced(created=1)
    assert await found(app, "heron") == ["a\n\nthe heron"]
