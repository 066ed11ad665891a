"""An agent of pydantic-ai, with memOS.as as a toolset."""

import sys

import anyio
from agent_options import INSTRUCTIONS, AgentOptions, memos_settings, read_options
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


async def run(options: AgentOptions) -> str:
    """Return the agent's answer."""
    model = OpenAIChatModel(options.model, provider=OpenAIProvider(options.model_url, api_key=options.key))
    memos = MCPToolset(StdioTransport(sys.executable, ["-m", "memos_mcp"], env=memos_settings()))
    async with Agent(model, instructions=INSTRUCTIONS, toolsets=[memos]) as agent:
        return (await agent.run(options.task)).output


if __name__ == "__main__":
    print(anyio.run(run, read_options(__doc__ or "")))
