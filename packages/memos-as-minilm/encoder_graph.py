"""The encoder of all-MiniLM-L6-v2 as an ONNX graph with the runtime's fused operators."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

WEIGHTS: Final = "model.onnx.data"
PAGE: Final = 4_096
"""Alignment of a tensor in the weights' file: the runtime maps tensors into memory by pages."""

_HEADS: Final = 12
_LAYERS: Final = 6
_HIDDEN: Final = 384
_EPSILON: Final = 1e-12
_START: Final = np.array([0], dtype=np.int64)


def tensors(weights: Mapping[str, Any], matrices: type[np.floating[Any]] = np.float16) -> dict[str, Any]:
    """Return the weights as the graph reads them: matrices from input to output, with Q, K and V side by side.

    weights: float32, by their names in the published model.  matrices: the type that matrices are rounded to; vectors,
    which are 0.2 % of all numbers, stay float32.
    """
    found = {
        "words": weights["embeddings.word_embeddings.weight"],
        # Every text is of segment 0, so its embedding is added to every position.
        "positions": weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0],
        "embedded.scale": weights["embeddings.LayerNorm.weight"],
        "embedded.shift": weights["embeddings.LayerNorm.bias"],
    }
    for layer in range(_LAYERS):
        found |= _layer_tensors(weights, f"encoder.layer.{layer}", f"layer{layer}")
    return {name: _laid_out(tensor, matrices) for name, tensor in found.items()}


def model(tensors: Mapping[str, Any]) -> ModelProto:
    """Return the encoder: token ids and their mask in, last hidden state out. Its weights are in the file `WEIGHTS`."""
    nodes = [*_float_matrices(tensors), *_embedding()]
    for layer in range(_LAYERS):
        nodes += _layer(f"layer{layer}", "last_hidden_state" if layer == _LAYERS - 1 else f"layer{layer + 1}")
    shape = ["batch", "sequence"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")]
    output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*shape, _HIDDEN])
    start = helper.make_tensor("start", TensorProto.INT64, [1], _START)
    graph = helper.make_graph(nodes, "all-MiniLM-L6-v2", inputs, [output], [start, *_references(tensors)])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _laid_out(tensor: Any, matrices: type[np.floating[Any]]) -> Any:
    return np.ascontiguousarray(tensor, dtype=matrices if _is_matrix(tensor) else np.float32)


def _is_matrix(tensor: Any) -> bool:
    return bool(tensor.ndim > 1)


def _layer_tensors(weights: Mapping[str, Any], source: str, target: str) -> dict[str, Any]:
    parts = [f"{source}.attention.self.{part}" for part in ("query", "key", "value")]
    found = {
        f"{target}.qkv": np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1),
        f"{target}.qkv.bias": np.concatenate([weights[f"{part}.bias"] for part in parts]),
        f"{target}.widen": weights[f"{source}.intermediate.dense.weight"].T,
        f"{target}.widen.bias": weights[f"{source}.intermediate.dense.bias"],
    }
    for name, part in ((f"{target}.merge", f"{source}.attention.output"), (f"{target}.narrow", f"{source}.output")):
        found[name] = weights[f"{part}.dense.weight"].T
        found[f"{name}.bias"] = weights[f"{part}.dense.bias"]
        found[f"{name}.scale"] = weights[f"{part}.LayerNorm.weight"]
        found[f"{name}.shift"] = weights[f"{part}.LayerNorm.bias"]
    return found


def _stored(name: str, tensor: Any) -> str:
    """Return the name under which a tensor is stored. The runtime converts matrices once, when it loads the model."""
    return f"{name}.stored" if _is_matrix(tensor) else name


def _float_matrices(tensors: Mapping[str, Any]) -> list[NodeProto]:
    """Convert all matrices but the words, which are half of all numbers: of them only the rows of a text are needed."""
    return [
        _cast(_stored(name, tensor), name, TensorProto.FLOAT)
        for name, tensor in tensors.items()
        if _is_matrix(tensor) and name != "words"
    ]


def _cast(value: str, output: str, type_: int) -> NodeProto:
    return helper.make_node("Cast", [value], [output], to=type_)


def _embedding() -> list[NodeProto]:
    """Return words plus positions, normalised. The fused operator would need all words in float32."""
    return [
        _cast("attention_mask", "mask", TensorProto.INT32),
        helper.make_node("Gather", ["words.stored", "input_ids"], ["rows"], axis=0),
        _cast("rows", "words", TensorProto.FLOAT),
        helper.make_node("Shape", ["input_ids"], ["length"], start=1),
        helper.make_node("Slice", ["positions", "start", "length"], ["used_positions"]),
        helper.make_node("Add", ["words", "used_positions"], ["embedded"]),
        helper.make_node(
            "LayerNormalization", ["embedded", "embedded.scale", "embedded.shift"], ["layer0"], epsilon=_EPSILON
        ),
    ]


def _layer(name: str, output: str) -> list[NodeProto]:
    """Return one encoder layer: attention and feed-forward, each followed by the residual sum and its normalisation."""
    return [
        _fused("Attention", [name, f"{name}.qkv", f"{name}.qkv.bias", "mask"], [f"{name}.attended"], num_heads=_HEADS),
        helper.make_node("MatMul", [f"{name}.attended", f"{name}.merge"], [f"{name}.merged"]),
        _residual(f"{name}.merged", name, f"{name}.merge", f"{name}.middle"),
        helper.make_node("MatMul", [f"{name}.middle", f"{name}.widen"], [f"{name}.wide"]),
        _fused("BiasGelu", [f"{name}.wide", f"{name}.widen.bias"], [f"{name}.active"]),
        helper.make_node("MatMul", [f"{name}.active", f"{name}.narrow"], [f"{name}.narrowed"]),
        _residual(f"{name}.narrowed", f"{name}.middle", f"{name}.narrow", output),
    ]


def _residual(value: str, skip: str, weights: str, output: str) -> NodeProto:
    inputs = [value, skip, f"{weights}.scale", f"{weights}.shift", f"{weights}.bias"]
    return _fused("SkipLayerNormalization", inputs, [output], epsilon=_EPSILON)


def _fused(operator: str, inputs: list[str], outputs: list[str], **attributes: Any) -> NodeProto:
    return helper.make_node(operator, inputs, outputs, domain="com.microsoft", **attributes)


def _references(tensors: Mapping[str, Any]) -> list[TensorProto]:
    """Return the position of each tensor in the weights' file (https://onnx.ai/onnx/repo-docs/ExternalData.html)."""
    references = []
    offset = 0
    for name, tensor in tensors.items():
        reference = TensorProto(
            name=_stored(name, tensor),
            dims=tensor.shape,
            data_type=helper.np_dtype_to_tensor_dtype(tensor.dtype),
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", WEIGHTS), ("offset", offset), ("length", tensor.nbytes)):
            reference.external_data.add(key=key, value=str(value))
        references.append(reference)
        offset += tensor.nbytes + -tensor.nbytes % PAGE
    return references
