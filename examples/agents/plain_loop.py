"""An agent as a plain loop over any endpoint that speaks the OpenAI protocol, with the memory as its functions."""

from typing import Any

import anyio
from agent_options import INSTRUCTIONS, AgentOptions, memos_settings, read_options
from openai import AsyncOpenAI

from memos_mcp.client import Launch, MemosClient
from memos_mcp.client.function_calls import answer_to_call, function_definitions

MAX_STEPS = 12


async def run(options: AgentOptions) -> str:
    """Return the answer of the model once it calls no function any more."""
    messages: list[Any] = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": options.task}]
    async with (
        MemosClient(Launch(env=memos_settings())) as memos,
        AsyncOpenAI(base_url=options.model_url, api_key=options.key) as endpoint,
    ):
        functions: Any = await function_definitions(memos, ("query_memory", "store_memory", "update_memory"))
        for _ in range(MAX_STEPS):
            completion = await endpoint.chat.completions.create(model=options.model, messages=messages, tools=functions)
            reply = completion.choices[0].message
            if not reply.tool_calls:
                return reply.content or ""
            messages.append(reply)
            for call in reply.tool_calls:
                if call.type == "function":
                    answer = await answer_to_call(memos, call.function.name, call.function.arguments)
                    messages.append({"role": "tool", "tool_call_id": call.id, "content": answer})
    return "The task took too many steps."


if __name__ == "__main__":
    print(anyio.run(run, read_options(__doc__ or "")))
