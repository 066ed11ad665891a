"""Finds the default model, all-MiniLM-L6-v2, in the installed data package, so that no hub is needed."""

from pathlib import Path
from typing import Final

PACKAGE: Final = "memos-as-minilm"
"""The distribution that carries the model; `packages/memos-as-minilm` builds it."""


def minilm_folder() -> Path | None:
    """Return the folder of the model in the layout of fastembed, or None where the package lacks or was not built."""
    try:
        from memos_as_minilm import MODEL_FOLDER
    except ModuleNotFoundError:
        return None
    return MODEL_FOLDER if (MODEL_FOLDER / "model.onnx").is_file() else None
