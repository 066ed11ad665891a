"""Without the weights of the default model and without a hub, a server says once what to do, and answers by words."""

from pathlib import Path

import pytest

from tests.acceptance.raw_clients import StdioRawClient
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio

HIDDEN = "raise ModuleNotFoundError('hidden', name=__name__)\n"


async def test_a_server_without_weights_says_once_what_to_do_and_answers_by_words(
    tmp_path: Path, home: Path, home_template: Path
) -> None:
    (tmp_path / "memos_as_minilm.py").write_text(HIDDEN)
    settings = {"PYTHONPATH": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    server = Server(copy_home(home_template, home / "home"), settings=settings)
    try:
        client = await StdioRawClient(server).open()
        stored = (await client.call("store_memory", {"content": "The ferry leaves at dawn."})).data
        found = (await client.call("query_memory", {"query": "ferry"})).data
    finally:
        server.stop()

    assert (stored["created"], stored["indexed"]) == (True, False)
    assert [memory["content"] for memory in found["memories"]] == ["The ferry leaves at dawn."]
    assert "pip install memos-as-minilm" in found["degraded"]
    lines = [line for line in server.log.splitlines() if " INFO " not in line]
    (warning,) = [line for line in lines if "traversed by all users" not in line]
    assert "pip install memos-as-minilm" in warning
