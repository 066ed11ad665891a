"""Removes what a model thought from what it answered. Pure.

Endpoints give thinking in a field of its own (`reasoning_content` of DeepSeek, vLLM and llama.cpp, `reasoning` of
Ollama and OpenRouter), which is never read, in parts of the content (`thinking` of Mistral), or in the text:

- `<think>` of DeepSeek R1 and Qwen, `<thinking>`, `<thought>`, `<reasoning>`, `<seed:think>`, `[THINK]` of Magistral
  and `◁think▷` of Kimi;
- without the opening tag, where the chat template already wrote it (R1 and Qwen3 on vLLM without a reasoning parser);
- unclosed, where the model stopped within it;
- as channels of gpt-oss, where the server does not read its harmony format.
"""

import re
from typing import Final

_TAG: Final = re.compile(
    r"(?P<code>```.*?```|`[^`\n]+`)"
    r"|(?P<open><(?:think|thinking|thought|reasoning|seed:think)>|\[THINK\]|◁think▷)"
    r"|(?P<close></(?:think|thinking|thought|reasoning|seed:think)>|\[/THINK\]|◁/think▷)",
    re.DOTALL | re.IGNORECASE,
)
_CLOSING_LINE: Final = re.compile(r"^\s*</think(?:ing)?>\s*$", re.MULTILINE | re.IGNORECASE)
_CHANNEL: Final = re.compile(
    r"<\|channel\|>(?P<name>\w+)(?: to=(?:functions\.)?(?P<to>[\w.-]+))?[^<]*(?:<\|constrain\|>\w+\s*)?<\|message\|>"
    r"(?P<text>.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_LAST_TOKENS: Final = re.compile(
    r"(?:\s*(?:<\|(?:im_end|eot_id|eom_id|end|endoftext|end_of_text|return)\|>|</s>))+\s*\Z"
)


def without_thinking(text: str) -> str:
    """Return the text without thinking, and without tokens that end a message. Tags in code are text."""
    if "<|channel|>" in text:
        text = _from_channels(text)
    kept: list[str] = []
    position = 0
    while (tag := _TAG.search(text, position)) is not None:
        kept.append(text[position : tag.start()])
        position = tag.end()
        if tag["open"]:
            position = _end_of_thinking(text, position)
        elif tag["close"]:  # it was opened before the text
            kept = []
        elif _CLOSING_LINE.search(tag["code"]):  # no code, but marks that the thinking opened and never closed
            kept.append(tag["code"][:1])
            position = tag.start() + 1
        else:
            kept.append(tag["code"])
    kept.append(text[position:])
    return _LAST_TOKENS.sub("", "".join(kept)).strip()


def _end_of_thinking(text: str, position: int) -> int:
    """Return the position after the thinking that was opened before `position`, nested thinking included."""
    depth = 1
    while depth:
        tag = _TAG.search(text, position)
        while tag is not None and tag["code"]:  # code within thinking hides no tag
            tag = _TAG.search(text, tag.start() + len(tag["code"]) - len(tag["code"].lstrip("`")))
        if tag is None:
            return len(text)
        depth += 1 if tag["open"] else -1
        position = tag.end()
    return position


def _from_channels(text: str) -> str:
    """Return the final channel of harmony, and calls of functions in the form of Llama."""
    parts = []
    for channel in _CHANNEL.finditer(text):
        if channel["to"]:
            parts.append(f"<function={channel['to']}>{channel['text']}</function>")
        elif channel["name"] == "final":
            parts.append(channel["text"])
    return "\n".join(parts)
