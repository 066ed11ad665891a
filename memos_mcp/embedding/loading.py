"""How a model comes to be there: found among those of fastembed, fetched, and loaded once for all who ask."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio import to_thread

from memos_mcp.domain.errors import Unavailable

_RETRY_SECONDS: Final = 30.0

Model = TypeVar("Model")


class LoadOnce(Generic[Model]):
    """A model that is loaded when it is first asked for, in a worker thread; a failure is remembered for a while.

    `load` runs in that thread, returns the model or raises an `Unavailable`; `clock` counts seconds.
    """

    def __init__(self, load: Callable[[], Model], clock: Callable[[], float] = monotonic) -> None:
        self._load = load
        self._clock = clock
        self._loaded: Model | None = None
        self._failed: tuple[float, type[Unavailable], str] | None = None
        self._loading = Lock()
        # All who wait take one thread; without a turn of their own they would take those of everybody else.
        self._turn = anyio.CapacityLimiter(1)

    @property
    def loaded(self) -> Model | None:
        """The model, if it is there."""
        return self._loaded

    @property
    def under_way(self) -> bool:
        """Whether a thread is loading it just now."""
        return self._loaded is None and self._loading.locked()

    async def model(self, *, abandon_on_cancel: bool = False) -> Model:
        """Return the model, loaded now if need be; raise what `load` raised, at once for a while after it did.

        A caller who is cancelled waits for the load to end, or leaves it to go on without anybody.
        """
        if self._loaded is not None:
            return self._loaded
        return await to_thread.run_sync(self._load_once, abandon_on_cancel=abandon_on_cancel, limiter=self._turn)

    def _load_once(self) -> Model:
        """Load in this thread, once for all who wait; its outcome is kept even if the caller has left."""
        with self._loading:
            if self._loaded is not None:
                return self._loaded
            if self._failed is not None:
                since, kind, message = self._failed
                if self._clock() - since < _RETRY_SECONDS:
                    raise kind(message)
            try:
                self._loaded = self._load()
            except Unavailable as error:
                self._failed = (self._clock(), type(error), str(error))
                raise
            return self._loaded


def turn_telemetry_off() -> None:
    """Keep onnxruntime from reporting to its makers, and from leaving files in the user's cache.

    It must be called before onnxruntime is imported, which reads this once.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def described(kind: Any, name: str, unknown: Unavailable) -> Any:
    """Return what a class of fastembed knows of a model of its kind; raise `unknown` when that is nothing."""
    for description in kind._list_supported_models():  # noqa: SLF001 - its public twin leaves out the type
        if description.model.lower() == name.lower():
            return description
    raise unknown


def downloaded(kind: Any, description: Any, data: Path, threads: int | None) -> Any:
    """Open a model from the cache in the data folder, or download it into there in a single attempt.

    Left to itself fastembed tries three times and sleeps 39 s in between, while every question waits.
    """
    folder = kind.download_model(description, str(data / "models"), retries=1)
    return kind(description.model, specific_model_path=str(folder), threads=threads)
