"""A real cross-encoder of a few nodes, in the folder of models that fastembed has downloaded."""

from pathlib import Path
from shutil import copy

from memos_as_minilm import MODEL_FOLDER
from onnx import checker, parser

NAME = "Xenova/ms-marco-MiniLM-L-6-v2"

SHARED = """
<ir_version: 8, opset_import: ["" : 17]>
shared (int64[batch, tokens] input_ids, int64[batch, tokens] token_type_ids, int64[batch, tokens] attention_mask)
    => (float[batch, 1] logits)
    <int64[1] first_word = {999}, int64[1] one = {1}, int64[1] two = {2}>
{
    is_word = GreaterOrEqual(input_ids, first_word)
    is_text = Equal(token_type_ids, one)
    is_question = Not(is_text)
    text_words = And(is_word, is_text)
    question_words = And(is_word, is_question)
    downwards = Unsqueeze(question_words, two)
    across = Unsqueeze(text_words, one)
    pairs = And(downwards, across)
    down_ids = Unsqueeze(input_ids, two)
    across_ids = Unsqueeze(input_ids, one)
    same = Equal(down_ids, across_ids)
    shared_pairs = And(same, pairs)
    counts = Cast<to = 1>(shared_pairs)
    again = ReduceMax<axes = [1], keepdims = 0>(counts)
    logits = ReduceSum(again, one)
}
"""
"""Counts the tokens of the text that occur in the question too, each occurrence once."""

NOT_FINITE = SHARED.replace(
    "logits = ReduceSum(again, one)", "sums = ReduceSum(again, one) none = Sub(sums, sums) logits = Div(none, none)"
)
"""Returns scores that are not finite."""


def install(home: Path, graph: str = SHARED) -> Path:
    """Lay out the model, with the tokenizer of the packaged one, as the hub's client lays out a download.

    Return the path of the graph.
    """
    repository = home / "models" / f"models--{NAME.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    for folder in (snapshot / "onnx", repository / "refs"):
        folder.mkdir(parents=True)
    (repository / "refs" / "main").write_text(snapshot.name)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json"):
        copy(MODEL_FOLDER / file, snapshot)
    model = parser.parse_model(graph)
    checker.check_model(model)
    written = snapshot / "onnx" / "model.onnx"
    written.write_bytes(model.SerializeToString())
    return written
