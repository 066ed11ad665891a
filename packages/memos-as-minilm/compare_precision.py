"""Compares the packaged float16 weights with the published float32 ones, and with int8.

The texts are those of the checkout's own pages and docstrings. It prints the cosines of each text's vectors, how often
the nearest of the other texts are the same, and the processor's time of loading and of all inferences.

    python compare_precision.py ../../build/weights --texts 2000
"""

import argparse
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import ZipFile

import numpy as np
from build_model import PACKAGE, the_archive, weights, write_model
from encoder_graph import tensors
from onnx import TensorProto
from onnxruntime import InferenceSession, SessionOptions  # type: ignore[import-untyped]  # it ships no types
from onnxruntime.quantization import quantize_dynamic  # type: ignore[import-untyped]  # likewise
from tokenizers import Tokenizer

ROOT: Final = Path(__file__).parents[2]
BATCH: Final = 16
NEAREST: Final = 10
LONGEST: Final = 400
"""Characters. Longer texts take most of the time and are no different."""


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with the downloaded archive")
    parser.add_argument("--texts", type=int, default=2_000)
    arguments = parser.parse_args()
    texts = sample(arguments.texts)
    print(f"{len(texts)} texts of {np.mean([len(text) for text in texts]):.0f} characters")
    with TemporaryDirectory() as name:
        original, int8 = Path(name) / "float32", Path(name) / "int8"
        for folder in (original, int8):
            folder.mkdir()
        with ZipFile(the_archive(arguments.folder)) as archive:
            write_model(original, tensors(weights(archive), np.float32))
        quantize_dynamic(
            original / "model.onnx",
            int8 / "model.onnx",
            per_channel=True,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
        expected = embed("float32", original, texts)
        for label, folder in (("float16", PACKAGE / "model"), ("int8", int8)):
            compare(expected, embed(label, folder, texts))


def sample(count: int) -> list[str]:
    """Return paragraphs and docstrings of the checkout, each once, the same ones at each call."""
    found: list[str] = []
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]):
        found += re.split(r"\n\n+|\n(?=[-|])", page.read_text(encoding="utf-8"))
    for file in sorted(ROOT.glob("memos_mcp/**/*.py")):
        found += re.findall(r'"""(.*?)"""', file.read_text(encoding="utf-8"), re.DOTALL)
    texts = [text for text in dict.fromkeys(map(str.strip, found)) if 0 < len(text) <= LONGEST]
    random.Random(0).shuffle(texts)
    return sorted(texts[:count], key=len)


def embed(label: str, folder: Path, texts: Sequence[str]) -> Any:
    """Return a vector of length 1 for each text, and print what loading and the inferences took of one processor."""
    tokenizer = Tokenizer.from_file(str(PACKAGE / "model" / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.enable_padding()
    options = SessionOptions()
    options.intra_op_num_threads = 1
    began = time.process_time()
    session = InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    loaded = time.process_time()
    vectors = []
    for start in range(0, len(texts), BATCH):
        encodings = tokenizer.encode_batch(list(texts[start : start + BATCH]))
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings])
        (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        means = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        vectors.append(means / np.linalg.norm(means, axis=1, keepdims=True))
    print(f"{label:8} loaded in {loaded - began:.3f} s, all texts in {time.process_time() - loaded:.1f} s", flush=True)
    return np.concatenate(vectors)


def compare(expected: Any, found: Any) -> None:
    """Print how the vectors differ, and how the nearest do for a new question among vectors that are stored already."""
    cosines = (expected.astype("f8") * found).sum(axis=1)
    before, after = nearest(expected, expected), nearest(found, expected)
    shared = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(before, after, strict=True)])
    print(
        f"{'':8} cosine with float32: least {cosines.min():.7f}, mean {cosines.mean():.7f}; the nearest text is the "
        f"same for {np.mean(before[:, 0] == after[:, 0]):.2%}, of the nearest {NEAREST} {shared:.2%}",
        flush=True,
    )


def nearest(questions: Any, stored: Any) -> Any:
    """Return the numbers of the stored texts that are nearest to each question, without the question itself."""
    scores = questions @ stored.T
    np.fill_diagonal(scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]


if __name__ == "__main__":
    main()
