"""The data package carries the default model that is on record, and is found where it is installed."""

import hashlib
import json
import sys
import tomllib
from pathlib import Path

import onnx
import pytest
from memos_as_minilm import MODEL_FOLDER

from memos_mcp.embedding import minilm


def test_every_file_of_the_model_has_the_digest_on_record() -> None:
    recorded = tomllib.loads(MODEL_FOLDER.with_name("provenance.toml").read_text())["output"]

    assert {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in MODEL_FOLDER.iterdir()} == recorded


def test_the_graph_is_valid_and_keeps_matrices_in_half_precision() -> None:
    onnx.checker.check_model(MODEL_FOLDER / "model.onnx")
    graph = onnx.load(MODEL_FOLDER / "model.onnx", load_external_data=False).graph

    types = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 1}
    assert types == {onnx.TensorProto.FLOAT16}


def test_the_model_keeps_the_window_it_was_trained_with() -> None:
    assert json.loads((MODEL_FOLDER / "tokenizer_config.json").read_text())["model_max_length"] == 256


def test_the_installed_package_has_the_model() -> None:
    assert minilm.minilm_folder() == MODEL_FOLDER


def test_a_package_in_which_the_model_was_not_built_counts_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memos_as_minilm.MODEL_FOLDER", tmp_path)

    assert minilm.minilm_folder() is None


def test_without_the_package_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "memos_as_minilm", None)

    assert minilm.minilm_folder() is None
