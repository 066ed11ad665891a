"""The reranker on a real cross-encoder: loading, scoring, and its errors."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from memos_mcp.domain.errors import RerankerUnavailable
from memos_mcp.embedding import reranker
from memos_mcp.embedding.reranker import FastReranker
from tests import cross_encoder

pytestmark = pytest.mark.anyio

QUESTION = "where is the boiler key?"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross-encoder")
    cross_encoder.install(folder)
    return folder


async def test_scores_are_in_the_order_of_the_texts(data: Path) -> None:
    texts = ["the boiler key " * n + "filler " * (7 * n % 11) for n in range(20)]

    scores = await FastReranker(cross_encoder.NAME, data).scores(QUESTION, texts)

    assert scores == [3.0 * n for n in range(20)]


async def test_a_text_beyond_the_window_is_read_up_to_the_window(data: Path) -> None:
    [score] = await FastReranker(cross_encoder.NAME.lower(), data, threads=1).scores(QUESTION, ["key " * 60_000])

    assert 200 < score < 256


async def test_the_same_texts_are_read_once_for_all_pages_of_an_answer(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Sequence[str]] = []
    scores = reranker._scores

    def counted(encoder: Any, question: str, texts: Sequence[str]) -> list[float]:
        read.append(texts)
        return scores(encoder, question, texts)

    monkeypatch.setattr(reranker, "_scores", counted)
    monkeypatch.setattr(reranker, "_CACHED_ANSWERS", 2)
    one = FastReranker(cross_encoder.NAME, data)
    first, again = await one.scores(QUESTION, ["a key"]), await one.scores(QUESTION, ["a key"])
    again.append(0.0)
    assert await one.scores(QUESTION, ["a key"]) == first == [1.0]
    assert read == [["a key"]]

    for other in ("a boiler", "a key, a key"):
        await one.scores(QUESTION, [other])
    await one.scores(QUESTION, ["a key"])
    assert len(read) == 4


async def test_an_unknown_model_is_reported_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RerankerUnavailable, match=r"MEMOS_RERANKER.*no/such-model.*for example Xenova/ms-marco"):
        await FastReranker("no/such-model", tmp_path).scores(QUESTION, ["a key"])


async def test_without_the_hub_the_reranker_is_unavailable_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with anyio.fail_after(8), pytest.raises(RerankerUnavailable, match="cannot be downloaded") as caught:
        await FastReranker(cross_encoder.NAME, tmp_path).scores(QUESTION, ["a key"])

    assert str(tmp_path) not in str(caught.value)


async def test_a_damaged_model_is_unavailable(tmp_path: Path) -> None:
    cross_encoder.install(tmp_path).write_bytes(b"not a model")

    with pytest.raises(RerankerUnavailable, match="cannot be loaded"):
        await FastReranker(cross_encoder.NAME, tmp_path).scores(QUESTION, ["a key"])


async def test_a_model_whose_scores_are_not_finite_fails(tmp_path: Path) -> None:
    cross_encoder.install(tmp_path, cross_encoder.NOT_FINITE)

    with pytest.raises(RerankerUnavailable, match="failed"):
        await FastReranker(cross_encoder.NAME, tmp_path).scores(QUESTION, ["a key"])


async def test_a_long_download_makes_nobody_wait_and_is_used_once_it_is_done(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, downloads = threading.Event(), 0
    load = reranker._load

    def slow(name: str, folder: Path, threads: int | None) -> Any:
        nonlocal downloads
        downloads += 1
        assert arrived.wait(20)
        return load(name, folder, threads)

    monkeypatch.setattr(reranker, "_load", slow)
    one = FastReranker(cross_encoder.NAME, data)
    try:
        for seconds in (0.05, 20, 20):
            monkeypatch.setattr(reranker, "_LOAD_WAIT_SECONDS", seconds)
            with anyio.fail_after(5), pytest.raises(RerankerUnavailable, match="still being loaded"):
                await one.scores(QUESTION, ["a key"])
    finally:
        arrived.set()

    with anyio.fail_after(20):
        while one._loader.loading:
            await anyio.lowlevel.checkpoint()
        assert await one.scores(QUESTION, ["a key"]) == [1.0]
    assert downloads == 1
