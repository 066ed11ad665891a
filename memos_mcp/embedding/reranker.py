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
from memos_mcp.embedding.loading import LoadOnce, described, downloaded, turn_telemetry_off

_EXAMPLE: Final = "Xenova/ms-marco-MiniLM-L-6-v2"
_PATIENCE_SECONDS: Final = 10.0
"""How long an answer waits for the model. To load it takes a second, to download it may take minutes."""

_BATCH_ROWS: Final = 8
_MOST_CHARS: Final = 4_000
"""How much of a text is read. What is indexed is shorter; what is not comes whole, and some models would read it."""

_KEPT_ANSWERS: Final = 32
"""How many questions' scores are kept: the next page of an answer needs the same ones, to the last digit."""

logger = logging.getLogger(__name__)


class FastReranker:
    """The `Reranker` port. Nothing is loaded before the first question."""

    def __init__(self, model: str, data: Path, threads: int | None = None) -> None:
        self._name = model
        self._loading = LoadOnce(partial(_load, model, data, threads))
        self._late = False
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
            logger.warning("the reranker %s failed", self._name, exc_info=True)
            raise RerankerUnavailable(f"The reranker {self._name} failed, so the order is the usual one.") from error
        self._recent[asked] = scores
        while len(self._recent) > _KEPT_ANSWERS:
            self._recent.popitem(last=False)
        return list(scores)

    async def _ready(self) -> Any:
        """Return the model, or say that it is not there yet: while a long download goes on, nobody else waits."""
        if not (self._late and self._loading.under_way):
            with anyio.move_on_after(_PATIENCE_SECONDS):
                return await self._loading.model(abandon_on_cancel=True)
            self._late = True
        raise RerankerUnavailable(f"The reranker {self._name} is still being loaded, so the order is the usual one.")


def _load(name: str, data: Path, threads: int | None) -> Any:
    """Load a model by its name; the imports are here because they take half a second."""
    turn_telemetry_off()
    try:
        from fastembed.rerank.cross_encoder import TextCrossEncoder

        description = described(TextCrossEncoder, name, _unknown(name))
        return downloaded(TextCrossEncoder, description, data, threads)
    except RerankerUnavailable:
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


def _scores(encoder: Any, question: str, texts: Sequence[str]) -> list[float]:
    """Score in batches of similar length, so that little is padded; raise `ValueError` for what cannot be compared."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = encoder.rerank(question, [texts[place][:_MOST_CHARS] for place in order], batch_size=_BATCH_ROWS)
    scores = dict(zip(order, found, strict=True))
    if not all(map(math.isfinite, scores.values())):
        raise ValueError("some scores are not numbers")
    return [scores[place] for place in range(len(texts))]
