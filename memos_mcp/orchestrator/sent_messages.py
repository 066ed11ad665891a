"""The messages of a conversation in the order and form that strict endpoints accept. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from memos_mcp.orchestrator.cortex import Message
from memos_mcp.orchestrator.payload import replace_surrogates

READ: Final = "I have read the answers of the tools."


def sent_messages(
    messages: Sequence[Message], names: Mapping[str, str], *, with_thinking: bool = False
) -> list[dict[str, Any]]:
    """Return the messages of a request; `names` are the functions' names by tool_id.

    Mistral and vLLM with its templates refuse a user's message after the answer of a tool ("Unexpected role 'user'
    after role 'tool'"): a message of the assistant is put between them. Ministral's template also wants the roles of
    user and assistant to alternate: messages of the user in a row become one.
    """
    sent: list[dict[str, Any]] = []
    for message in messages:
        before = sent[-1]["role"] if sent else None
        if message.speaker == before == "user":
            sent[-1]["content"] += f"\n\n{replace_surrogates(message.text)}"
            continue
        if message.speaker == "user" and before == "tool":
            sent.append({"role": "assistant", "content": READ})
        thinking = {"reasoning_content": message.thinking} if with_thinking and message.tool_calls else {}
        sent.append({**_sent(message, names), **thinking})
    return sent


def _sent(message: Message, names: Mapping[str, str]) -> dict[str, Any]:
    sent: dict[str, Any] = {"role": message.speaker, "content": replace_surrogates(message.text)}
    if message.call_id is not None:
        sent["tool_call_id"] = message.call_id
    if message.tool_calls:
        sent["tool_calls"] = [
            {
                "id": call.call_id,
                "type": "function",
                "function": {"name": names[call.tool_id], "arguments": _parseable(call.arguments)},
                **({"extra_content": call.signature} if call.signature is not None else {}),
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
