"""What only the embedded index does: one process at a time, crashes, broken files, graphs built aside."""

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from memos_mcp.domain.errors import IndexUnavailable
from memos_mcp.domain.index import IndexFilter
from memos_mcp.qdrant import points as batches
from memos_mcp.qdrant.edge.index import EdgeIndex
from memos_mcp.qdrant.edge.worker_handle import put_request
from memos_mcp.qdrant.points import FORMAT, INCOMPLETE, Point, WriteBatch, write_batches
from tests.qdrant.samples import SHAPE, bm25, dense, entry, index_folder, item, search, vector, versions

pytestmark = pytest.mark.anyio

OURS = IndexFilter("ours")
THRESHOLD = 100

WRITER = """
import sys, anyio
from pathlib import Path
from memos_mcp.qdrant.edge.index import EdgeIndex
from tests.qdrant.samples import SHAPE, entry, search

async def main():
    index = EdgeIndex(Path(sys.argv[1]), 100)
    await index.open(SHAPE)
    print("open", flush=True)
    for start in range(0, 1_000_000, 10):
        await index.put("memory", [entry(n, "one", "two", version=n + 1) for n in range(start, start + 10)])
        print(start + 10, flush=True)

anyio.run(main)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with index_folder() as folder:
        yield folder


@pytest.fixture
async def index(folder: Path) -> AsyncIterator[EdgeIndex]:
    index = EdgeIndex(folder, THRESHOLD)
    await index.open(SHAPE)
    yield index
    await index.close()


async def writer(folder: Path) -> tuple[Process, BufferedByteReceiveStream]:
    """Start another process that opens this folder and writes to it without end."""
    process = await anyio.open_process(
        [sys.executable, "-c", WRITER, str(folder)], stderr=None, cwd=Path(__file__).parents[3]
    )
    assert process.stdout is not None
    lines = BufferedByteReceiveStream(process.stdout)
    assert await lines.receive_until(b"\n", 100) == b"open"
    return process, lines


async def open_soon(index: EdgeIndex) -> None:
    """Open an index whose last owner was killed a moment ago."""
    with anyio.fail_after(10):
        while True:
            try:
                return await index.open(SHAPE)
            except IndexUnavailable:
                await anyio.sleep(0.01)


def generations(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def graphs(folder: Path) -> dict[str, bool]:
    """Return, for each kind of the only generation, whether one of its segments has a graph."""
    (generation,) = generations(folder)
    return {
        kind: any('"type":"hnsw"' in path.read_text() for path in (folder / generation / kind).rglob("segment.json"))
        for kind in ("memory", "tool")
    }


async def test_only_one_process_at_a_time_holds_the_folder(folder: Path) -> None:
    process, _ = await writer(folder)
    index = EdgeIndex(folder, THRESHOLD)
    with pytest.raises(IndexUnavailable, match="held by another process of this installation"):
        await index.open(SHAPE)
    process.kill()
    await process.aclose()
    await open_soon(index)
    await index.close()


async def test_the_folder_is_free_again_after_closing(index: EdgeIndex, folder: Path) -> None:
    other = EdgeIndex(folder, THRESHOLD)
    with pytest.raises(IndexUnavailable):
        await other.open(SHAPE)
    await index.close()
    await other.open(SHAPE)
    await other.close()


async def test_the_folder_stays_held_until_the_index_process_has_ended_too(index: EdgeIndex, folder: Path) -> None:
    index._launcher.release()  # what the kernel does first when the engine is killed
    other = EdgeIndex(folder, THRESHOLD)
    with pytest.raises(IndexUnavailable, match="held by another process"):
        await other.open(SHAPE)
    await index.close()
    await other.open(SHAPE)
    await other.close()


async def test_what_was_acknowledged_survives_kill_9_in_the_middle_of_writing(folder: Path) -> None:
    process, lines = await writer(folder)
    acknowledged = 0
    with anyio.fail_after(30):
        while acknowledged < 300:
            acknowledged = int(await lines.receive_until(b"\n", 100))
    process.kill()
    await process.aclose()
    index = EdgeIndex(folder, THRESHOLD)
    await open_soon(index)
    held = await versions(index, "memory")
    assert {item(n): n + 1 for n in range(acknowledged)}.items() <= held.items()
    lanes = await search(index, "memory", "two", vector((acknowledged - 1, 1)), OURS, 5)
    assert dense(lanes)[0] == acknowledged - 1
    assert len(bm25(lanes)) >= 5
    await index.close()


async def test_an_index_process_that_was_killed_is_started_again_by_open(index: EdgeIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    kill_index_process(index)
    with pytest.raises(IndexUnavailable):
        await search(index, "memory", "cat", None, OURS, 1)
    with pytest.raises(IndexUnavailable):
        await index.report()
    await index.open(SHAPE)
    assert bm25(await search(index, "memory", "cat", None, OURS, 1)) == [1]


async def test_a_search_that_gets_no_answer_can_be_given_up(index: EdgeIndex) -> None:
    await index.put("memory", [entry(1, "cat"), entry(2, "dog")])
    process = index._running().worker._process
    process.send_signal(signal.SIGSTOP)
    with anyio.move_on_after(0.05) as time_limit:
        await search(index, "memory", "cat", None, OURS, 1)
    process.send_signal(signal.SIGCONT)
    assert time_limit.cancelled_caught
    assert bm25(await search(index, "memory", "dog", None, OURS, 1)) == [2]


async def test_a_generation_that_cannot_be_read_is_kept_aside_and_an_empty_one_opened(
    index: EdgeIndex, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.close()
    for broken in (1, 2):
        name = (folder / "current").read_text().strip()
        (folder / name / "memory" / "edge_config.json").write_text("{ not json")
        await index.open(SHAPE)
        assert await versions(index, "memory") == {}
        assert f"{name}.broken" in generations(folder)
        assert len(generations(folder)) == 2
        assert caplog.text.count("kept aside") == broken
        await index.close()


@pytest.mark.parametrize("about", ['{"format": 0, "model": "a-model", "dimensions": 16}', "[]", "{", "{}"])
async def test_a_generation_of_another_format_is_replaced_by_an_empty_one(
    index: EdgeIndex, folder: Path, about: str
) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.close()
    name = (folder / "current").read_text().strip()
    (folder / name / "generation.json").write_text(about)
    await index.open(SHAPE)
    assert await versions(index, "memory") == {}
    assert generations(folder) == [(folder / "current").read_text().strip()]


async def test_a_kind_that_an_older_generation_lacks_is_added_empty(index: EdgeIndex, folder: Path) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.put("tool", [entry(2, "mail")])
    await index.close()
    shutil.rmtree(folder / (folder / "current").read_text().strip() / "tool")
    await index.open(SHAPE)
    assert (await versions(index, "memory"), await versions(index, "tool")) == ({item(1): 1}, {})
    await index.put("tool", [entry(2, "mail")])
    assert await versions(index, "tool") == {item(2): 1}


async def test_the_rest_of_a_draft_after_a_crash_is_removed_at_the_next_start(index: EdgeIndex, folder: Path) -> None:
    await index.put("memory", [entry(1, "cat")])
    await index.close()
    shutil.copytree(folder / (folder / "current").read_text().strip(), folder / "halfbuilt")
    await index.open(SHAPE)
    assert generations(folder) == [(folder / "current").read_text().strip()]
    assert await versions(index, "memory") == {item(1): 1}


async def test_a_draft_that_was_under_way_ends_with_the_index(index: EdgeIndex, folder: Path) -> None:
    draft = await index.draft(SHAPE)
    assert len(generations(folder)) == 2
    await index.close()
    assert len(generations(folder)) == 1
    with pytest.raises(IndexUnavailable):
        await draft.put("memory", [entry(1)])


async def test_the_folder_of_an_open_index_may_disappear(index: EdgeIndex, folder: Path) -> None:
    await index.put("memory", [entry(1, "cat")])
    shutil.rmtree(folder)
    for _ in range(3):
        try:
            await index.put("memory", [entry(n) for n in range(500)])
            await search(index, "memory", "cat", None, OURS, 1)
            await index.draft(SHAPE)
        except IndexUnavailable:
            pass
    await index.close()
    await index.open(SHAPE)
    assert await versions(index, "memory") == {}


async def test_a_folder_that_cannot_be_written_makes_the_index_unavailable() -> None:
    index = EdgeIndex(Path("/dev/null/index"), THRESHOLD)
    with pytest.raises(IndexUnavailable, match="folder cannot be used") as raised:
        await index.open(SHAPE)
    assert "/dev/null" not in str(raised.value)


async def test_a_commit_builds_the_graph_and_the_answers_stay_the_same(index: EdgeIndex, folder: Path) -> None:
    entries = [entry(n, f"word{n} common") for n in range(3 * THRESHOLD)]
    await index.put("memory", entries)
    await index.put("tool", entries[:10])
    before = [await search(index, "memory", f"word{n}", vector((n, 0)), OURS, 3) for n in range(10)]
    assert (await index._request("graph"))["memory"] == [300, 0]
    assert await index.wants_graph()
    draft = await index.draft(SHAPE)
    await draft.put("memory", entries)
    await draft.put("tool", entries[:10])
    await draft.commit()
    assert await index._request("graph") == {"memory": [300, 300], "tool": [10, 0], "task": [0, 0]}
    assert not await index.wants_graph()
    after = [await search(index, "memory", f"word{n}", vector((n, 0)), OURS, 3) for n in range(10)]
    assert [(dense(lanes), bm25(lanes)) for lanes in after] == [(dense(lanes), bm25(lanes)) for lanes in before]
    for lanes, earlier in zip(after, before, strict=True):
        assert [match.score for match in lanes.dense] == pytest.approx([match.score for match in earlier.dense])
    assert len(generations(folder)) == 1


async def test_a_copy_has_the_points_of_the_current_generation_and_all_are_in_its_graph(
    index: EdgeIndex, folder: Path
) -> None:
    await index.put("memory", [entry(n, f"word{n} common") for n in range(3 * THRESHOLD)])
    await (await index.copy()).commit()
    assert (await index._request("graph"))["memory"] == [300, 300]
    await index.put("memory", [entry(n, "new common", version=2) for n in range(250, 450)])
    await index.drop("memory", [item(n) for n in range(10)])
    before = [await search(index, "memory", "new common", vector((n, 0)), OURS, 20) for n in (20, 260, 440)]
    assert (await index._request("graph"))["memory"] == [440, 240]
    await (await index.copy()).commit()
    assert (await index._request("graph"))["memory"] == [440, 440]
    assert await versions(index, "memory") == {item(n): 1 if n < 250 else 2 for n in range(10, 450)}
    after = [await search(index, "memory", "new common", vector((n, 0)), OURS, 20) for n in (20, 260, 440)]
    for lanes, earlier in zip(after, before, strict=True):
        assert dense(lanes)[:5] == dense(earlier)[:5]
        assert [match.score for match in lanes.bm25][:5] == pytest.approx([match.score for match in earlier.bm25][:5])
    assert len(generations(folder)) == 1


async def test_a_copy_does_not_get_what_is_written_later(index: EdgeIndex) -> None:
    await index.put("memory", [entry(1, "cat")])
    draft = await index.copy()
    await index.put("memory", [entry(2, "cat")])
    await draft.commit()
    assert set(await versions(index, "memory")) == {item(1)}


async def test_a_copy_that_fails_leaves_the_current_generation_and_no_files(
    index: EdgeIndex, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await index.put("memory", [entry(1, "cat")])

    def full(source: Path, target: Path) -> None:
        target.mkdir()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(IndexUnavailable, match="cannot be copied"):
        await index.copy()
    assert bm25(await search(index, "memory", "cat", None, OURS, 5)) == [1]
    assert len(generations(folder)) == 1


async def test_a_rebuild_is_wanted_again_when_half_as_much_is_outside_the_graph_as_in_it(
    index: EdgeIndex, folder: Path
) -> None:
    draft = await index.draft(SHAPE)
    await draft.put("memory", [entry(n) for n in range(3 * THRESHOLD)])
    await draft.commit()
    assert graphs(folder) == {"memory": True, "tool": False}
    await index.put("memory", [entry(n, version=2) for n in range(80)])
    await index.put("memory", [entry(n) for n in range(1_000, 1_050)])
    assert (await index._request("graph"))["memory"] == [350, 220]
    assert await index.wants_graph()
    await index.drop("memory", [item(n) for n in range(1_000, 1_050)])
    assert not await index.wants_graph()
    await index.close()
    await index.open(SHAPE)
    await index.put("memory", [entry(n, version=3) for n in range(80, 150)])
    assert (await index._request("graph"))["memory"] == [300, 150]
    assert await index.wants_graph()


async def test_a_commit_that_is_cancelled_leaves_the_current_generation(index: EdgeIndex, folder: Path) -> None:
    await index.put("memory", [entry(1, "cat")])
    draft = await index.draft(SHAPE)
    await draft.put("memory", [entry(2, "cat")])
    draft._running.worker._process.send_signal(signal.SIGSTOP)  # a build that does not end
    with anyio.move_on_after(0.05) as time_limit:
        await draft.commit()
    assert time_limit.cancelled_caught
    assert bm25(await search(index, "memory", "cat", None, OURS, 5)) == [1]
    assert len(generations(folder)) == 1


async def test_a_build_that_dies_leaves_the_current_generation(index: EdgeIndex, folder: Path) -> None:
    await index.put("memory", [entry(1, "cat")])
    draft = await index.draft(SHAPE)
    await draft.put("memory", [entry(2, "cat")])
    draft._running.worker._process.kill()
    with pytest.raises(IndexUnavailable):
        await draft.commit()
    assert bm25(await search(index, "memory", "cat", None, OURS, 5)) == [1]
    assert len(generations(folder)) == 1


async def test_searches_are_answered_by_one_generation_or_the_other_during_a_swap(index: EdgeIndex) -> None:
    entries = [entry(n, "cat") for n in range(2 * THRESHOLD)]
    await index.put("memory", entries)
    draft = await index.draft(SHAPE)
    await draft.put("memory", entries)
    answered = 0

    async def ask() -> None:
        nonlocal answered
        while True:
            lanes = await search(index, "memory", "cat", vector((7, 0)), OURS, 3)
            assert dense(lanes)[0] == 7
            answered += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        tasks.start_soon(ask)
        await draft.commit()
        tasks.cancel_scope.cancel()
    assert answered > 10


async def test_an_item_with_missing_or_stale_passages_is_out_of_date(
    index: EdgeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["word"] * 70
    monkeypatch.setattr(batches, "WRITE_BATCH_BYTES", 60 * 68)
    first, _ = write_batches([entry(1, *texts, version=5)])
    await put_points(index, first.points)
    assert await versions(index, "memory") == {item(1): INCOMPLETE.version}
    await index.put("memory", [entry(1, *texts, version=5)])
    assert await versions(index, "memory") == {item(1): 5}
    await put_points(index, next(write_batches([entry(1, "word", version=6)])).points)
    assert (await versions(index, "memory"))[item(1)] != 6


async def test_what_is_printed_while_the_index_works_never_reaches_our_output(
    index: EdgeIndex, capfd: pytest.CaptureFixture[str]
) -> None:
    await index.put("memory", [entry(n) for n in range(2 * THRESHOLD)])
    await search(index, "memory", "word1", vector((1, 0)), OURS, 1)
    assert capfd.readouterr().out == ""


async def put_points(index: EdgeIndex, points: Sequence[Point]) -> None:
    """Write points as a put does that is cut off before it is through."""
    request = put_request("memory", WriteBatch(list(points)))
    await index._running().worker.request(request.operation, request.vectors, **request.arguments)


def kill_index_process(index: EdgeIndex) -> None:
    index._running().worker._process.kill()


def test_generation_json_says_what_it_was_built_for(folder: Path) -> None:
    anyio.run(_open_and_close, folder)
    name = (folder / "current").read_text().strip()
    about = json.loads((folder / name / "generation.json").read_text())
    assert about == {"format": FORMAT, "model": SHAPE.model, "dimensions": SHAPE.dimensions}


async def _open_and_close(folder: Path) -> None:
    index = EdgeIndex(folder, THRESHOLD)
    await index.open(SHAPE)
    await index.close()
