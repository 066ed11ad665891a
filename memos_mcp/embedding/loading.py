"""Finds models of fastembed, downloads them, and loads each once for all callers."""

import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, Generic, Protocol, TypeVar

import anyio
from anyio import to_thread

from memos_mcp.domain.errors import Unavailable

_RETRY_SECONDS: Final = 30.0

Model = TypeVar("Model")


class Report(Protocol):
    """Takes how long an attempt to load took, and whether there is a model now."""

    def __call__(self, seconds: float, *, succeeded: bool) -> None: ...


class ModelLoader(Generic[Model]):
    """Loads a model on first use, in a worker thread, and remembers a failure for `_RETRY_SECONDS`.

    `load` runs in that thread; it returns the model or raises an `Unavailable`. `clock` counts seconds.
    """

    def __init__(
        self, load: Callable[[], Model], report: Report | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._load = load
        self._report = report
        self._clock = clock
        self._loaded: Model | None = None
        self._failed: tuple[float, type[Unavailable], str] | None = None
        self._load_lock = Lock()
        # All waiting callers share one thread. Without a limiter of their own they would use up the default pool.
        self._limiter = anyio.CapacityLimiter(1)

    @property
    def loading(self) -> bool:
        """Whether a thread is loading the model right now."""
        return self._loaded is None and self._load_lock.locked()

    async def get(self, *, abandon_on_cancel: bool = False) -> Model:
        """Return the model, loading it first if need be. Raises what `load` raised, without another try for a while.

        A cancelled caller waits for the load to end, unless `abandon_on_cancel`: then the load continues without it.
        """
        if self._loaded is not None:
            return self._loaded
        return await to_thread.run_sync(self._load_once, abandon_on_cancel=abandon_on_cancel, limiter=self._limiter)

    def _load_once(self) -> Model:
        """Load in this thread, once for all waiting callers. The outcome is kept even if the caller was cancelled."""
        with self._load_lock:
            if self._loaded is not None:
                return self._loaded
            if self._failed is not None:
                since, kind, message = self._failed
                if self._clock() - since < _RETRY_SECONDS:
                    raise kind(message)
            began = self._clock()
            try:
                self._loaded = self._load()
            except Unavailable as error:
                self._failed = (self._clock(), type(error), str(error))
                raise
            finally:
                if self._report is not None:
                    self._report(self._clock() - began, succeeded=self._loaded is not None)
            gc.freeze()  # the libraries' 100,000 objects are never freed, but each full collection took 40 ms for them
            return self._loaded


def quiet_libraries() -> None:
    """Keep the models' libraries from sending telemetry, from writing to the user's cache, and from logging.

    Their lines about a hub that is away say nothing of what to do here. Call it before onnxruntime is imported, which
    reads the variable once.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from loguru import logger as log_of_fastembed

    log_of_fastembed.disable("fastembed")
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)


def find_description(kind: Any, name: str, unknown: Unavailable) -> Any:
    """Return the description of a model that a class of fastembed supports; raise `unknown` if there is none."""
    for description in kind._list_supported_models():  # noqa: SLF001 - the public method omits the type
        if description.model.lower() == name.lower():
            return description
    raise unknown


def open_downloaded(kind: Any, description: Any, data: Path, threads: int | None, unreachable: Unavailable) -> Any:
    """Open a model from the cache in the data folder, or download it there in a single attempt.

    By default fastembed tries three times and sleeps 39 s in between, while every question waits. Raises `unreachable`
    if the model is not in the cache and cannot be downloaded.
    """
    try:
        folder = kind.download_model(description, str(data / "models"), retries=1)
    except ValueError as error:
        raise unreachable from error
    return kind(description.model, specific_model_path=str(folder), threads=threads)
