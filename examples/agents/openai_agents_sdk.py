"""An agent of the OpenAI Agents SDK, with memOS.as as its MCP server."""

import sys

import anyio
from agent_options import INSTRUCTIONS, AgentOptions, memos_settings, read_options
from agents import Agent, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from agents.mcp import MCPServerStdio, MCPServerStdioParams
from openai import AsyncOpenAI


async def run(options: AgentOptions) -> str:
    """Return the agent's answer."""
    set_tracing_disabled(disabled=True)  # traces go to OpenAI otherwise
    endpoint = AsyncOpenAI(base_url=options.model_url, api_key=options.key)
    launch: MCPServerStdioParams = {
        "command": sys.executable,
        "args": ["-m", "memos_mcp"],
        "env": memos_settings(),
    }
    async with MCPServerStdio(launch, client_session_timeout_seconds=60) as memos:
        agent = Agent(
            name="Clerk",
            instructions=INSTRUCTIONS,
            model=OpenAIChatCompletionsModel(options.model, endpoint),
            mcp_servers=[memos],
        )
        return str((await Runner.run(agent, options.task)).final_output)


if __name__ == "__main__":
    print(anyio.run(run, read_options(__doc__ or "")))
