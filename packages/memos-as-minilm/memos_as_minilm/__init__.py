"""The weights of all-MiniLM-L6-v2 as ONNX, with its tokenizer, for memos-as."""

from pathlib import Path

MODEL_FOLDER = Path(__file__).with_name("model")
"""The folder with `model.onnx`, its weights and the files of the tokenizer, in the layout that fastembed reads.

The graph takes `input_ids` and `attention_mask` (int64, batch x tokens) and returns `last_hidden_state` (float32, batch
x tokens x 384). A checkout in which the model was not built has no such folder.
"""
