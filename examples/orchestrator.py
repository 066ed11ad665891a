"""An orchestrator in 30 lines; the README in this folder lists its requirements and shows how to run it."""

import sys

import anyio

from memos_mcp.orchestrator.loop import Orchestrator, Step
from memos_mcp.orchestrator.openai_cortex import OpenAICortex


def show(step: Step) -> None:
    """Print a step."""
    print(f"{step.happening}: {step.text}")


async def main(task: str) -> None:
    """Delegate one task and print its outcome."""
    cortex = OpenAICortex("qwen3", base_url="http://127.0.0.1:11434/v1")
    tools = ("127.0.0.1:8801", "127.0.0.1:8802")  # no other hosts may be called
    async with Orchestrator.open(cortex, private_hosts=tools, observe=show) as orchestrator:
        outcome = await orchestrator.delegate(task)
    print(f"{outcome.result}\n\n{outcome.ended}; enrichment: {outcome.enrichment}; kept as memory {outcome.stored}")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1])
