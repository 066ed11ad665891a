"""Cortex behind any endpoint with the OpenAI protocol: Ollama, vLLM, a vendor.

It uses `openai` rather than `pydantic-ai-slim`, because the loop of this package needs only a client.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

import anyio
from pydantic import SecretStr

from memos_mcp.orchestrator.cortex import CortexDown, Message, Thought, ToolCall
from memos_mcp.orchestrator.naming import function_names
from memos_mcp.orchestrator.payload import KnownTool, replace_surrogates

_ANYTHING: Final = {"type": "object", "properties": {}}

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
        self._lock = anyio.Lock()
        self._client: Any = None

    async def think(self, messages: Sequence[Message], tools: Sequence[KnownTool]) -> Thought:
        """Return the model's next response; raise `CortexDown` if there is none."""
        client = await self._shared_client()
        from openai import OpenAIError

        called = [call.tool_id for message in messages for call in message.tool_calls]
        names = function_names({tool.tool_id: None for tool in tools} | dict.fromkeys(called))
        request: dict[str, Any] = {"model": self._model, "messages": [_message(message, names) for message in messages]}
        if tools:
            request["tools"] = [_definition(tool, names[tool.tool_id]) for tool in tools]
        try:
            with anyio.fail_after(self._timeout * (self._max_retries + 1)):
                answer = await client.chat.completions.create(**request)
        except (OpenAIError, TimeoutError, ValueError) as error:
            logger.warning("Cortex gave no answer: %s", type(error).__name__)
            raise CortexDown(_reason(error)) from error
        return _thought(answer, {name: tool_id for tool_id, name in names.items()})

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


def _message(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.speaker, "content": replace_surrogates(message.text)}
    if message.call_id is not None:
        sent["tool_call_id"] = message.call_id
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": names[call.tool_id], "arguments": _parseable(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return sent


def _parseable(arguments: str) -> str:
    """Return the arguments, or `{}` if they are no JSON object: the templates of local models parse them."""
    try:
        return replace_surrogates(arguments) if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _definition(tool: KnownTool, name: str) -> dict[str, Any]:
    """Describe a tool as a function, without our own keywords (`x-...`), which the model does not need."""
    schema = {key: value for key, value in (tool.request_schema or _ANYTHING).items() if not key.startswith("x-")}
    function = {"name": name, "description": f"{tool.name}: {tool.description}", "parameters": schema}
    return {"type": "function", "function": function}


def _thought(answer: Any, tool_ids: Mapping[str, str]) -> Thought:
    """Parse an answer defensively: endpoints differ in the fields that they leave out."""
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if message is None:
        raise CortexDown("the model's endpoint answered without a message")
    calls = []
    for number, call in enumerate(getattr(message, "tool_calls", None) or ()):
        function = getattr(call, "function", None)
        name, arguments = str(getattr(function, "name", "") or ""), getattr(function, "arguments", None)
        written = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        calls.append(ToolCall(getattr(call, "id", None) or f"call-{number}", tool_ids.get(name, name), written))
    text = getattr(message, "content", None) or getattr(message, "refusal", None) or ""
    return Thought(text if isinstance(text, str) else json.dumps(text, default=str), calls)


def _reason(error: Exception) -> str:
    """Describe an error without an address, a key or the endpoint's own text, which may contain either."""
    status = getattr(error, "status_code", None)
    if status is not None:
        return f"the model's endpoint answered with status {status}"
    if "Timeout" in type(error).__name__:
        return "the model's endpoint did not answer in time"
    if "Connection" in type(error).__name__:
        return "the model's endpoint cannot be reached"
    return "the model's endpoint gave an answer that cannot be read"
