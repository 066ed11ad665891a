"""The orchestrator with a real memOS.as, launched over stdio with its engine, Postgres and model."""

import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from memos_mcp.client import Launch
from memos_mcp.orchestrator.loop import Orchestrator
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from tests.orchestrator.services import ECHO, Model, Tools, calling, serving
from tests.prepared_home import copy_home

pytestmark = pytest.mark.anyio


async def test_the_outcome_of_a_task_enriches_the_next_similar_task(
    tmp_path: Path, home_template: Path, tool_host: str, tools: Tools
) -> None:
    home = copy_home(home_template, tmp_path / "home")
    env = {"MEMOS_HOME": str(home), "MEMOS_NAMESPACE": "office"}
    (home / "loadouts").mkdir()
    (home / "loadouts" / "clerk.toml").write_text('role = "You are the clerk."')
    command = [sys.executable, "-m", "memos_mcp"]
    model = Model(
        [
            calling(("office_greet", '{"word": "Mara"}')),
            {"content": "Mara was greeted; she prefers the blue desk."},
            {"content": "Ben was greeted as Mara was."},
        ]
    )
    try:
        async with Client(StdioServerParameters(command=command[0], args=command[1:], env=env)) as client:
            await client.call_tool(
                "register_tool",
                {
                    "tool_id": "office.greet",
                    "name": "Greeter",
                    "description": "Greet a guest of the office.",
                    "endpoint_url": f"http://{tool_host}/echo",
                    "request_schema": ECHO,
                },
            )
        with serving(model.app) as endpoint:
            cortex = OpenAICortex("scripted", base_url=f"http://{endpoint}/v1")
            async with Orchestrator.open(cortex, memory=Launch(env=env), private_hosts=[tool_host]) as orchestrator:
                first = await orchestrator.delegate("Greet Mara at the front desk")
                second = await orchestrator.delegate("Greet Ben at the front desk", agent="clerk")
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.run_process([*command, "stop"], env=env, check=False)

    assert (first.result, second.result) == (
        "Mara was greeted; she prefers the blue desk.",
        "Ben was greeted as Mara was.",
    )
    assert (first.tools_used, first.failures) == (["office.greet"], [])
    assert tools.seen[-1] == ("POST", "echo", {"word": "Mara"})
    assert first.payload.memories == []
    assert first.stored in {memory.memory_id for memory in second.payload.memories}
    assert "blue desk" in second.payload.text
    system, user = model.asked[-1]["messages"]
    assert system["content"].startswith("You are the clerk.")
    assert "blue desk" in user["content"]
    assert second.stored not in {None, first.stored}
