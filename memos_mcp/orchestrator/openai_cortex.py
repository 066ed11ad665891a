"""Cortex behind any endpoint with the OpenAI protocol: Ollama, vLLM, a vendor.

It uses `openai` rather than `pydantic-ai-slim`, because the loop of this package needs only a client.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from memos_mcp.orchestrator.cortex import ContextTooLong, CortexDown, Message, Thought
from memos_mcp.orchestrator.endpoint_words import Refusal, refusal
from memos_mcp.orchestrator.model_answers import Functions, read_answer
from memos_mcp.orchestrator.naming import function_names
from memos_mcp.orchestrator.offered_functions import OfferedFunctions, offered_functions
from memos_mcp.orchestrator.payload import KnownTool
from memos_mcp.orchestrator.sent_messages import sent_messages

logger = logging.getLogger(__name__)


class OpenAICortex:
    """A model behind an OpenAI-compatible endpoint, asked by chat completions with tools.

    `timeout` is seconds for one response; `max_retries` is how often a request is repeated when the endpoint is busy
    or unreachable. Without an `api_key` (Ollama, vLLM) a placeholder is sent.
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
        if find_spec("openai") is None:
            raise ImportError("OpenAICortex needs the package openai: install memos-as[cortex]")
        self._model = model
        self._base_url = base_url
        self._api_key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        self._timeout = timeout
        self._max_retries = max_retries
        self._reduced: set[str] = set()
        self._returns_thinking = False
        self._lock = anyio.Lock()
        self._client: Any = None

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        """Return the model's next response; raise `CortexDown` if there is none.

        The schema of a tool that the endpoint refuses is reduced from then on, or those of all tools if it names none.
        A tool that is still refused is left out.
        """
        used = [call for message in messages for call in message.tool_calls]
        names = function_names({tool.tool_id: None for tool in tools} | dict.fromkeys(call.tool_id for call in used))
        refused: dict[str, str] = {}
        for _ in range(2 * len(tools) + 3):
            offered = offered_functions(tools, names, reduced=self._reduced, refused=refused)
            body = await self._complete({"messages": self._sent(messages, names), **_tools(offered)})
            if isinstance(body, Refusal):
                if not self._can_mend(body, offered, names, refused):
                    raise (ContextTooLong if body.is_context_too_long else CortexDown)(body.reason)
                continue
            thought = read_answer(body, Functions(names, offered.parameters), {call.call_id for call in used})
            return replace(thought, left_out=offered.left_out)
        raise CortexDown("the model's endpoint refuses every tool")

    def _can_mend(
        self, answer: Refusal, offered: OfferedFunctions, names: Mapping[str, str], refused: dict[str, str]
    ) -> bool:
        """Return whether the next request differs: with thinking, a schema reduced, or without a tool."""
        if answer.wants_thinking and not self._returns_thinking:
            self._returns_thinking = True
            return True
        if not offered.definitions or answer.is_context_too_long or not answer.is_about_schemas:
            return False
        tool_id = offered.tool_id(answer.function, names)
        suspects = {tool_id} if tool_id is not None else set(offered.parameters)
        if not suspects <= self._reduced:
            self._reduced |= suspects
            return True
        if tool_id is None:
            return False
        refused[tool_id] = f"the model's endpoint refuses it: {answer.words}"
        return True

    def _sent(self, messages: Sequence[Message], names: Mapping[str, str]) -> list[dict[str, Any]]:
        return sent_messages(messages, names, with_thinking=self._returns_thinking)

    async def _complete(self, request: Mapping[str, Any]) -> Mapping[str, Any] | Refusal:
        """Send a request; return the body of the response, or the refusal."""
        client = await self._shared_client()
        from openai import APIStatusError, OpenAIError

        try:
            with anyio.fail_after(self._timeout * (self._max_retries + 1)):
                response = await client.chat.completions.with_raw_response.create(model=self._model, **request)
            body = json.loads(response.content)
        except APIStatusError as error:
            logger.warning("Cortex gave no answer: status %s", error.status_code)
            return self._refusal(error.status_code, error.body)
        except (OpenAIError, TimeoutError, ValueError, RecursionError) as error:
            logger.warning("Cortex gave no answer: %s", type(error).__name__)
            raise CortexDown(_reason(error)) from error
        if isinstance(body, Mapping) and body.get("choices"):
            return body
        return self._refusal(None, body)  # an error with status 200, as of OpenRouter and LM Studio

    def _refusal(self, status: int | None, body: Any) -> Refusal:
        key = self._api_key.get_secret_value() if self._api_key else ""
        return refusal(status, body, model=self._model, secrets=(key, urlsplit(self._base_url).netloc))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()

    async def _shared_client(self) -> Any:
        """Return the client. A thread creates it, because the package takes long to import."""
        async with self._lock:
            if self._client is None:
                self._client = await anyio.to_thread.run_sync(self._new_client)
            return self._client

    def _new_client(self) -> Any:
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            base_url=self._base_url,
            api_key=self._api_key.get_secret_value() if self._api_key else "none",
            timeout=self._timeout,
            max_retries=self._max_retries,
        )


def _tools(offered: OfferedFunctions) -> dict[str, Any]:
    return {"tools": offered.definitions} if offered.definitions else {}


def _reason(error: Exception) -> str:
    """Describe an error without an address or a key, which its own text may contain."""
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return "the model's endpoint did not answer in time"
    if "Connection" in type(error).__name__:
        return "the model's endpoint cannot be reached"
    return "the model's endpoint gave an answer that cannot be read"
