"""What only the embedder on fastembed does: loading, sharing inferences, caching."""

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import numpy as np
import pytest

from memos_mcp.domain.errors import EmbedderUnavailable
from memos_mcp.domain.index import Shape, Vector
from memos_mcp.embedding import fastembed
from memos_mcp.embedding.fastembed import FastEmbedder

pytestmark = pytest.mark.anyio

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
async def embedder(anyio_backend: str, data: Path) -> FastEmbedder:  # noqa: ARG001 - it makes the loop
    embedder = FastEmbedder(MINILM, data)
    await embedder.load()
    return embedder


def cosine(a: Vector, b: Vector) -> float:
    return float(a @ b)


async def test_the_default_model_gives_its_published_similarity(embedder: FastEmbedder) -> None:
    food, bread = await embedder.passages(["A man is eating food.", "A man is eating a piece of bread."])

    assert cosine(food, bread) == pytest.approx(0.7553, abs=0.0005)
    assert cosine(food, food) == pytest.approx(1.0, abs=1e-5)
    assert await embedder.shape() == Shape(MINILM, 384)


async def test_a_question_is_nearer_to_its_answer_than_to_anything_else(embedder: FastEmbedder) -> None:
    answers = [
        "The cat sleeps on the sofa.",
        "Invoices are paid within thirty days.",
        "Paris is the capital of France.",
    ]

    question = await embedder.query("when do we have to pay a bill?")
    vectors = await embedder.passages(answers)

    assert max(range(3), key=lambda index: cosine(question, vectors[index])) == 1


async def test_splitting_does_not_change_the_model_s_own_truncation(embedder: FastEmbedder) -> None:
    text = "word " * 2_000
    before = await embedder.query(text)

    await embedder.split([text])

    assert await embedder.query(text + " ") == pytest.approx(before, abs=1e-5)


async def test_the_loop_runs_while_the_largest_text_is_split(embedder: FastEmbedder) -> None:
    text = ("Every word of this text counts, up to the very last one. " * 5_000)[: 256 * 1024]
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.lowlevel.checkpoint()
            ticks += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        [spans] = await embedder.split([text])
        tasks.cancel_scope.cancel()

    assert len(spans) > 200
    assert ticks > 10


async def test_questions_are_answered_while_a_bulk_job_runs(embedder: FastEmbedder) -> None:
    finished: list[str] = []

    async def bulk() -> None:
        await embedder.passages([f"passage {number} of a long import " * 8 for number in range(100)])
        finished.append("bulk")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bulk)
        await anyio.lowlevel.checkpoint()
        for number in range(5):
            await embedder.query(f"a question meanwhile, number {number}")
        finished.append("questions")

    assert finished == ["questions", "bulk"]


async def test_a_small_job_does_not_wait_for_a_big_one(embedder: FastEmbedder) -> None:
    finished: list[str] = []

    async def job(name: str, size: int) -> None:
        await embedder.passages([f"{name} {number} with some more words " * 6 for number in range(size)])
        finished.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(job, "big", 100)
        tasks.start_soon(job, "small", 1)

    assert finished == ["small", "big"]


async def test_questions_that_arrive_together_share_inferences(
    embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    embed = fastembed._embed

    def counted(model: Callable[..., object], texts: Sequence[str]) -> list[Vector]:
        batches.append(len(texts))
        return embed(model, texts)

    monkeypatch.setattr(fastembed, "_embed", counted)
    vectors: dict[int, Vector] = {}

    async def ask(number: int) -> None:
        vectors[number] = await embedder.query(f"question {number % 20} of a crowd")

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(ask, number)

    assert sum(batches) == 20
    assert len(batches) <= 3
    assert all(np.array_equal(vectors[number], vectors[number + 20]) for number in range(20))
    assert vectors[7] == pytest.approx((await embedder.passages(["question 7 of a crowd"]))[0], abs=1e-5)


async def test_a_question_is_embedded_after_the_caller_that_had_it_in_its_batch_was_cancelled(
    embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = fastembed._embed
    batches: list[list[str]] = []
    began = [threading.Event() for _ in range(3)]
    released = [threading.Event() for _ in range(3)]

    def held(model: Callable[..., object], texts: Sequence[str]) -> list[Vector]:
        number = len(batches)
        batches.append(list(texts))
        began[number].set()
        assert released[number].wait(10)
        return embed(model, texts)

    monkeypatch.setattr(fastembed, "_embed", held)
    first = asyncio.create_task(embedder.query("the first question"))
    await anyio.to_thread.run_sync(began[0].wait, 10)
    second = asyncio.create_task(embedder.query("the second, whose batch has the third"))
    third = asyncio.create_task(embedder.query("the third question"))
    await anyio.wait_all_tasks_blocked()
    released[0].set()
    await anyio.to_thread.run_sync(began[1].wait, 10)

    second.cancel()
    await anyio.wait_all_tasks_blocked()
    released[1].set()
    released[2].set()
    with anyio.fail_after(10):
        answer = await third

    assert batches[1:] == [["the second, whose batch has the third", "the third question"], ["the third question"]]
    monkeypatch.undo()
    assert answer == pytest.approx((await embedder.passages(["the third question"]))[0], abs=1e-5)
    assert len(await first) == 384


async def test_several_questions_at_once_have_the_vectors_that_each_has_alone_and_need_one_inference(
    embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["where is the boat moored, and who has its key? who has its key?", "who has its key?", "where?", "where?"]
    alone = [await embedder.query(f"{text} ") for text in texts]
    batches: list[Sequence[str]] = []
    embed = fastembed._embed

    def counted(model: Callable[..., object], texts: Sequence[str]) -> list[Vector]:
        batches.append(texts)
        return embed(model, texts)

    monkeypatch.setattr(fastembed, "_embed", counted)
    together = await embedder.queries(texts)

    assert batches == [texts[:3]]
    assert np.array(together) == pytest.approx(np.array(alone), abs=1e-5)


async def test_a_question_that_was_asked_before_alone_or_with_others_is_not_embedded_again(
    embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await embedder.query("a question that was asked alone")
    with_it = await embedder.queries(["a question that was asked alone", "and one beside it"])

    def refused(*_: object) -> list[Vector]:
        raise AssertionError

    monkeypatch.setattr(fastembed, "_embed", refused)
    again = await embedder.queries(["and one beside it", "a question that was asked alone"])

    assert np.array_equal(with_it[0], known)
    assert np.array_equal(again, with_it[::-1])
    assert np.array_equal(await embedder.query("and one beside it"), with_it[1])
    assert await embedder.queries([]) == []


async def test_more_questions_than_one_inference_or_the_cache_takes_all_have_their_vectors(
    embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"question {number} of very many" for number in range(40)]
    alone = await embedder.passages(texts)

    monkeypatch.setattr(fastembed, "_CACHED_QUERIES", 3)
    together = await embedder.queries(texts)

    assert np.array(together) == pytest.approx(np.array(alone), abs=1e-5)


async def test_the_cache_of_questions_is_bounded(embedder: FastEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastembed, "_CACHED_QUERIES", 3)

    for number in range(6):
        await embedder.query(f"question {number} for the cache")

    assert len(embedder._query_cache) == 3
    assert "question 5 for the cache" in embedder._query_cache


async def test_first_users_at_once_load_the_model_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = fastembed._load

    def counted(name: str, folder: Path, threads: int | None) -> object:
        loads.append(name)
        return load(name, folder, threads)

    monkeypatch.setattr(fastembed, "_load", counted)
    embedder = FastEmbedder(MINILM, data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(embedder.load)
        tasks.start_soon(embedder.shape)
        tasks.start_soon(embedder.query, "who is first?")
        tasks.start_soon(embedder.passages, ["one", "two"])

    assert loads == [MINILM]


async def test_the_loop_runs_while_the_model_is_loaded(tmp_path: Path) -> None:
    embedder = FastEmbedder(MINILM, tmp_path)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.lowlevel.checkpoint()
            ticks += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        await embedder.load()
        tasks.cancel_scope.cancel()

    assert ticks > 10


async def test_a_model_that_fastembed_does_not_have_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(EmbedderUnavailable, match=r"MEMOS_EMBEDDING_MODEL.*no/such-model"):
        await FastEmbedder("no/such-model", tmp_path).query("anything")


async def test_without_the_package_and_the_hub_the_model_is_unavailable_and_nothing_is_logged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "memos_as_minilm", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with anyio.fail_after(10), pytest.raises(EmbedderUnavailable, match="Run `pip install memos-as-minilm`"):
        await FastEmbedder(MINILM, tmp_path).passages(["anything"])

    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")


async def test_another_model_that_cannot_be_downloaded_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with anyio.fail_after(10), pytest.raises(EmbedderUnavailable, match=r"bge-small-en-v1\.5 cannot be downloaded"):
        await FastEmbedder("BAAI/bge-small-en-v1.5", tmp_path).passages(["anything"])


async def test_a_data_folder_that_cannot_be_written_makes_a_downloaded_model_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "models").write_text("a file where the folder should be")

    with anyio.fail_after(10), pytest.raises(EmbedderUnavailable) as caught:
        await FastEmbedder("BAAI/bge-small-en-v1.5", tmp_path).load()

    assert str(tmp_path) not in str(caught.value)


async def test_the_default_model_needs_no_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "missing"

    await FastEmbedder(MINILM, data).load()

    assert not await anyio.Path(data).exists()
