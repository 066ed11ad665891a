"""The properties that the two models of fastembed, the embedder and the reranker, share."""

import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests import cross_encoder

EMBED = """
from memos_mcp.embedding.fastembed import FastEmbedder
embedder = FastEmbedder("sentence-transformers/all-MiniLM-L6-v2", Path(sys.argv[1]))
print(len(anyio.run(embedder.query, "hello")))
"""
RERANK = f"""
from memos_mcp.embedding.reranker import FastReranker
reranker = FastReranker({cross_encoder.NAME!r}, Path(sys.argv[1]))
print(anyio.run(reranker.scores, "the key", ["a key"]))
"""


@pytest.mark.parametrize("module", ["fastembed", "reranker"])
def test_importing_an_adapter_imports_no_model_library(module: str) -> None:
    libraries = {"fastembed", "loguru", "memos_as_minilm", "onnxruntime"}
    code = f"import sys, memos_mcp.embedding.{module}; print({libraries} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.anyio
@pytest.mark.parametrize(("program", "output"), [(EMBED, b"384\n"), (RERANK, b"[1.0]\n")], ids=["embed", "rerank"])
async def test_a_model_leaves_nothing_in_the_user_s_own_folders(tmp_path: Path, program: str, output: bytes) -> None:
    home, data = tmp_path / "home", tmp_path / "data"
    home.mkdir()
    data.mkdir()
    cross_encoder.install(data)
    program = f"import anyio, sys; from pathlib import Path{program}"
    with anyio.fail_after(60):
        run = await anyio.run_process([sys.executable, "-c", program, str(data)], env={"HOME": str(home)}, stderr=None)
    assert run.stdout == output
    assert list(home.rglob("*")) == []
