"""The reranker on fastembed: a local ONNX cross-encoder, loaded on first use, run in a worker thread."""

import logging
import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import to_thread

from memos_mcp.domain.errors import RerankerUnavailable
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.embedding.loading import ModelLoader, find_description, open_downloaded, quiet_libraries

_EXAMPLE: Final = "Xenova/ms-marco-MiniLM-L-6-v2"
_LOAD_WAIT_SECONDS: Final = 10.0
"""How long an answer waits for the model. Loading takes a second, downloading can take minutes."""

_BATCH_ROWS: Final = 8
_MAX_CHARS: Final = 4_000
"""How much of a text is read. Indexed passages are shorter; other texts arrive whole, and some models read all."""

_CACHED_ANSWERS: Final = 32
"""Questions whose scores are cached: the next page of an answer needs the same scores, to the last digit."""

logger = logging.getLogger(__name__)


class FastReranker:
    """The `Reranker` port. Nothing is loaded before the first question."""

    def __init__(self, model: str, data: Path, threads: int | None = None, telemetry: Telemetry = NO_TELEMETRY) -> None:
        self._name = model
        self._loader = ModelLoader(partial(_load, model, data, threads), partial(telemetry.model_loaded, "reranker"))
        self._slow_load = False
        self._limiter = anyio.CapacityLimiter(1)
        self._score_cache: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return the score of each text, in order. Question and text together are cut at the model's window."""
        key = (question, *texts)
        if key in self._score_cache:
            self._score_cache.move_to_end(key)
            return list(self._score_cache[key])
        encoder = await self._ready()
        try:
            scores = await to_thread.run_sync(_scores, encoder, question, texts, limiter=self._limiter)
        except Exception as error:
            logger.warning("the reranker %s failed", self._name, exc_info=True)
            raise RerankerUnavailable(f"The reranker {self._name} failed, so the order is the usual one.") from error
        self._score_cache[key] = scores
        while len(self._score_cache) > _CACHED_ANSWERS:
            self._score_cache.popitem(last=False)
        return list(scores)

    async def _ready(self) -> Any:
        """Return the model. Raises `RerankerUnavailable` while it loads, at once if a wait has timed out before."""
        if not (self._slow_load and self._loader.loading):
            with anyio.move_on_after(_LOAD_WAIT_SECONDS):
                return await self._loader.get(abandon_on_cancel=True)
            self._slow_load = True
        raise RerankerUnavailable(f"The reranker {self._name} is still being loaded, so the order is the usual one.")


def _load(name: str, data: Path, threads: int | None) -> Any:
    """Load a model by its name. The imports are local because they take half a second."""
    quiet_libraries()
    try:
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        description = find_description(TextCrossEncoder, name, _unknown(name))
        return open_downloaded(TextCrossEncoder, description, data, threads, _unreachable(name))
    except RerankerUnavailable as error:
        logger.warning("%s", error)
        logger.debug("the reranker %s cannot be loaded", name, exc_info=True)
        raise
    except Exception as error:
        logger.warning("the reranker %s cannot be loaded", name, exc_info=True)
        raise RerankerUnavailable(
            f"The reranker {name} cannot be loaded, so the order is the usual one; it is tried again from time to time."
        ) from error


def _unknown(name: str) -> RerankerUnavailable:
    return RerankerUnavailable(
        f"MEMOS_RERANKER names a model that fastembed does not have: {name}. "
        f"Set it to one of its cross-encoders, for example {_EXAMPLE}. Until then the order is the usual one."
    )


def _unreachable(name: str) -> RerankerUnavailable:
    return RerankerUnavailable(
        f"The reranker {name} cannot be downloaded. Connect this machine to its hub, or unset MEMOS_RERANKER. "
        "Until then the order is the usual one; the download is tried again from time to time."
    )


def _scores(encoder: Any, question: str, texts: Sequence[str]) -> list[float]:
    """Score in batches of similar length, so that little is padded. Raises `ValueError` if a score is not finite."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    found = encoder.rerank(question, [texts[index][:_MAX_CHARS] for index in order], batch_size=_BATCH_ROWS)
    scores = dict(zip(order, found, strict=True))
    if not all(map(math.isfinite, scores.values())):
        raise ValueError("some scores are not finite")
    return [scores[index] for index in range(len(texts))]
