"""The orchestrator with a memOS.as of its own: launched over stdio, with its engine, its Postgres and its model."""

import sys
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from memos_mcp.orchestrator.loop import Orchestrator
from memos_mcp.orchestrator.memory_service import Launch
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from tests.orchestrator.services import ECHO, Model, Tools, calling, serving

pytestmark = pytest.mark.anyio


async def test_the_outcome_of_a_task_is_in_the_enrichment_of_the_next_one_like_it(
    home: Path, place: str, tools: Tools
) -> None:
    env = {"MEMOS_HOME": str(home), "MEMOS_NAMESPACE": "office"}
    (home / "loadouts").mkdir()
    (home / "loadouts" / "doorman.toml").write_text('role = "You are the doorman."')
    command = [sys.executable, "-m", "memos_mcp"]
    model = Model(
        [
            calling(("office_greet", '{"word": "Mara"}')),
            {"content": "Mara was greeted; she prefers the side door."},
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
                    "description": "Greet a visitor of the office.",
                    "endpoint_url": f"http://{place}/echo",
                    "request_schema": ECHO,
                },
            )
        with serving(model.app) as endpoint:
            cortex = OpenAICortex("scripted", base_url=f"http://{endpoint}/v1")
            async with Orchestrator.open(cortex, memory=Launch(env=env), private_hosts=[place]) as orchestrator:
                first = await orchestrator.delegate("Greet Mara at the office door")
                second = await orchestrator.delegate("Greet Ben at the office door", agent="doorman")
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.run_process([*command, "stop"], env=env, check=False)

    assert (first.result, second.result) == (
        "Mara was greeted; she prefers the side door.",
        "Ben was greeted as Mara was.",
    )
    assert (first.tools_used, first.failures) == (["office.greet"], [])
    assert tools.seen[-1] == ("POST", "echo", {"word": "Mara"})
    assert first.payload.memories == []
    assert first.stored in {memory.memory_id for memory in second.payload.memories}
    assert "side door" in second.payload.text
    system, user = model.asked[-1]["messages"]
    assert system["content"].startswith("You are the doorman.")
    assert "side door" in user["content"]
    assert second.stored not in {None, first.stored}
