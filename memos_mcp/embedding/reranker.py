"""The reranker on fastembed: a local ONNX cross-encoder, loaded on first use, run in a worker thread."""

import logging
import math
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

import anyio
from anyio import to_thread

from memos_mcp.domain.errors import RerankerUnavailable

_EXAMPLE: Final = "Xenova/ms-marco-MiniLM-L-6-v2"
_RETRY_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 10.0
"""How long an answer waits for the model. To load it takes a second, to download it may take minutes."""

_BATCH_ROWS: Final = 8
_MOST_CHARS: Final = 4_000
"""How much of a text is read. What is indexed is shorter; what is not comes whole, and some models would read it."""

_KEPT_ANSWERS: Final = 32
"""How many questions' scores are kept: the next page of an answer needs the same ones, to the last digit."""

_log = logging.getLogger(__name__)


class FastReranker:
    """The `Reranker` port. Nothing is loaded before the first question."""

    def __init__(self, model: str, data: Path, threads: int | None = None) -> None:
        self._name = model
        self._data = data
        self._threads = threads
        self._loaded: Any = None
        self._failed: tuple[float, str] | None = None
        self._late = False
        self._loading = Lock()
        self._load_turn = anyio.CapacityLimiter(1)
        self._turn = anyio.CapacityLimiter(1)
        self._recent: OrderedDict[tuple[str, ...], list[float]] = OrderedDict()

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """Score each text in its place; what exceeds the model's window, question and text together, is cut."""
        asked = (question, *texts)
        if asked in self._recent:
            self._recent.move_to_end(asked)
            return list(self._recent[asked])
        encoder = await self._ready()
        try:
            scores = await to_thread.run_sync(_scores, encoder, question, texts, limiter=self._turn)
        except Exception as error:
            _log.warning("the reranker %s failed", self._name, exc_info=True)
            raise RerankerUnavailable(f"The reranker {self._name} failed, so the order is the usual one.") from error
        self._recent[asked] = scores
        while len(self._recent) > _KEPT_ANSWERS:
            self._recent.popitem(last=False)
        return list(scores)

    async def _ready(self) -> Any:
        """Return the model, or say that it is not there yet: while a long download goes on, nobody else waits."""
        if self._loaded is not None:
            return self._loaded
        if not (self._late and self._loading.locked()):
            with anyio.move_on_after(_PATIENCE_SECONDS):
                return await to_thread.run_sync(self._load_once, abandon_on_cancel=True, limiter=self._load_turn)
            self._late = True
        raise RerankerUnavailable(f"The reranker {self._name} is still being loaded, so the order is the usual one.")

    def _load_once(self) -> Any:
        """Load in this thread, once for all who wait; its outcome is kept even if the caller has left."""
        with self._loading:
            if self._loaded is not None:
                return self._loaded
            if self._failed is not None and monotonic() - self._failed[0] < _RETRY_SECONDS:
                raise RerankerUnavailable(self._failed[1])
            try:
                self._loaded = _load(self._name, self._data, self._threads)
            except RerankerUnavailable as error:
                self._failed = (monotonic(), str(error))
                raise
            return self._loaded


def _load(name: str, data: Path, threads: int | None) -> Any:
    """Open a model from the cache in the data folder, or download it into there in a single attempt.

    The imports are here because they take half a second.
    """
    # onnxruntime would report to its makers, and leave files in the user's cache; it reads this once, at its import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        description = _description(name)
        folder = TextCrossEncoder.download_model(description, str(data / "models"), retries=1)
        return TextCrossEncoder(description.model, specific_model_path=str(folder), threads=threads)
    except RerankerUnavailable:
        raise
    except Exception as error:
        _log.warning("the reranker %s cannot be loaded", name, exc_info=True)
        raise RerankerUnavailable(
            f"The reranker {name} cannot be loaded, so the order is the usual one; it is tried again from time to time."
        ) from error


def _description(name: str) -> Any:
    """Return what fastembed knows of a model; raise `RerankerUnavailable` when that is nothing."""
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    for description in TextCrossEncoder._list_supported_models():  # noqa: SLF001 - its public twin leaves out the type
        if description.model.lower() == name.lower():
            return description
    raise RerankerUnavailable(
        f"MEMOS_RERANKER names a model that fastembed does not have: {name}. "
        f"Set it to one of its cross-encoders, for example {_EXAMPLE}. Until then the order is the usual one."
    )


def _scores(encoder: Any, question: str, texts: Sequence[str]) -> list[float]:
    """Score in batches of similar length, so that little is padded; raise `ValueError` for what cannot be compared."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = encoder.rerank(question, [texts[place][:_MOST_CHARS] for place in order], batch_size=_BATCH_ROWS)
    scores = dict(zip(order, found, strict=True))
    if not all(map(math.isfinite, scores.values())):
        raise ValueError("some scores are not numbers")
    return [scores[place] for place in range(len(texts))]
