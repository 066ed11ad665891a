"""The messages between the loop and Cortex: how many tokens they are, and how they become shorter. Pure."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from memos_mcp.orchestrator.cortex import Message, Thought
from memos_mcp.orchestrator.payload import KnownTool, as_data

BYTES_PER_TOKEN: Final = 4
"""English text has about four bytes a token in the tokenizers of GPT, Llama and Qwen; other scripts have fewer."""

_LIMITS: Final = ((2_000, None), (400, 4_000), (100, 1_000), (100, 250))
"""Characters of an older tool answer and of one to the last message with calls, in the order of attempts."""


def estimated_tokens(messages: Sequence[Message], tools: Sequence[KnownTool], thought: Thought | None = None) -> int:
    """Return about how many tokens a request is, and its answer if there is one."""
    texts = [message.text for message in messages]
    texts += [call.arguments for message in messages for call in message.tool_calls]
    texts += [f"{tool.name} {tool.description} {as_data(tool.request_schema)}" for tool in tools]
    if thought is not None:
        texts += [thought.text, *(call.arguments for call in thought.tool_calls)]
    return sum(len(text.encode(errors="replace")) for text in texts) // BYTES_PER_TOKEN


def shortened(messages: Sequence[Message]) -> list[Message] | None:
    """Return the messages with the answers of tools shortened one degree further, older ones first; None if none is."""
    newest = max((index for index, message in enumerate(messages) if message.tool_calls), default=0)
    for older_chars, newest_chars in _LIMITS:
        shorter = [
            _cut(message, newest_chars if index > newest else older_chars) for index, message in enumerate(messages)
        ]
        if shorter != list(messages):
            return shorter
    return None


def _cut(message: Message, chars: int | None) -> Message:
    """Return a tool's answer with at most `chars` characters of its value, which it says; other messages unchanged."""
    if message.speaker != "tool" or chars is None or len(message.text) <= chars:
        return message
    answer = json.loads(message.text)  # as the loop wrote it
    begins, missing = answer.get("answer_begins", message.text), answer.get("characters_left_out", 0)
    if len(begins) <= chars:
        return message
    shorter = {"answer_begins": begins[:chars], "characters_left_out": missing + len(begins) - chars}
    note = {"note": answer["note"]} if "note" in answer else {}
    return replace(message, text=as_data({**shorter, **note}))
