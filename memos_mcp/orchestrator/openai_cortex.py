"""Cortex at any endpoint that speaks the OpenAI protocol: Ollama, vLLM, a vendor.

Built on `openai` rather than `pydantic-ai-slim`: the loop is ours, and a client is all that it needs.
"""

from collections.abc import Sequence

from pydantic import SecretStr

from memos_mcp.orchestrator.cortex import Message, Thought
from memos_mcp.orchestrator.payload import KnownTool


class OpenAICortex:
    """A model behind an OpenAI-compatible endpoint, asked by chat completions with tools.

    `timeout` is seconds for one thought; `max_retries` is how often a thought is asked for again when the endpoint is
    busy or away. Without an `api_key` (Ollama, vLLM) a placeholder is sent.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str = "http://127.0.0.1:11434/v1",
        api_key: SecretStr | str | None = None,
        timeout: float = 120.0,
        max_retries: int = 2,
    ) -> None:
        raise NotImplementedError

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        """Return the model's next turn."""
        raise NotImplementedError

    async def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError
