"""Reads what a chat completion answered: text, tool calls, and why the model stopped. Pure.

Endpoints differ in what they leave out and add: content as a list of parts (Mistral, vLLM), calls without an id
(Ollama before 0.4, Gemini), with the same id for each (llama.cpp, Gemini's proxies), with an object for arguments, in
the older `function_call`, and a name that the model made up or that a proxy repeated.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memos_mcp.orchestrator.call_arguments import mended
from memos_mcp.orchestrator.cortex import CortexDown, Stop, Thought, ToolCall
from memos_mcp.orchestrator.thinking import without_thinking
from memos_mcp.orchestrator.written_calls import written_calls

_STOPS: Final[Mapping[str, Stop]] = {
    "length": "length",
    "max_tokens": "length",  # proxies of Anthropic
    "max_output_tokens": "length",
    "model_length": "length",  # Mistral: the window of the model is full
    "content_filter": "filtered",
    "safety": "filtered",  # Gemini's own words, of some proxies
    "recitation": "filtered",
    "prohibited_content": "filtered",
    "refusal": "refused",
}
_BROKEN: Final = frozenset({"error", "abort", "cancelled", "insufficient_system_resource", "network_error"})
"""Of OpenRouter, Mistral, vLLM, DeepSeek and Z.ai: the endpoint stopped, not the model."""
_CALLS: Final = frozenset({"tool_calls", "function_call", "tool_use"})
_PREFIX: Final = re.compile(r"\A(?:functions?|tools?)[.:]")


@dataclass(frozen=True, slots=True)
class _GivenCall:
    """A call as the endpoint gives it. Gemini wants its signature (`extra_content`) back."""

    call_id: str | None
    name: str
    arguments: Any
    signature: Any = None


class Functions:
    """The functions that were offered, by name, with their parameters."""

    def __init__(self, names: Mapping[str, str], parameters: Mapping[str, Mapping[str, Any]]) -> None:
        """`names` are the functions' names by tool_id, `parameters` the schemas of those that were offered."""
        self._tool_ids = {name: tool_id for tool_id, name in names.items() if tool_id in parameters}
        self._parameters = parameters

    def tool_id(self, written: str) -> str | None:
        """Return the tool that a name can only mean: its function or tool_id, in other case, prefixed or repeated."""
        name = _PREFIX.sub("", written.strip().strip("\"'`"))
        for one, tool_id in self._tool_ids.items():
            if name in {one, tool_id}:
                return tool_id
        alike = {
            tool_id
            for one, tool_id in self._tool_ids.items()
            if name and (name.casefold() in {one.casefold(), tool_id.casefold()} or name.replace(one, "") == "")
        }
        return alike.pop() if len(alike) == 1 else None

    def parameters(self, tool_id: str) -> Mapping[str, Any] | None:
        """Return the schema that was offered for a tool."""
        return self._parameters.get(tool_id)


def read_answer(body: Mapping[str, Any], functions: Functions, used_ids: Collection[str]) -> Thought:
    """Return the thought in a response; `used_ids` are the ids of earlier calls. Raises `CortexDown` if there is none.

    A call that was written as text is a call like any other; `unclear` says why one could not be read.
    """
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise CortexDown("the model's endpoint answered without a message")
    finish = str(choice.get("finish_reason") or "").lower()
    if finish in _BROKEN:
        raise CortexDown(f"the model's endpoint broke off the answer ({finish})")
    stop = _STOPS.get(finish, "done")
    text = without_thinking(_text(message.get("content")))
    given = _given_calls(message)
    unclear: str | None = None
    if not given and stop == "done":
        written = written_calls(text, lambda name: functions.tool_id(name) is not None)
        if written is not None:
            given, unclear = [_GivenCall(None, *call) for call in written.calls], written.unclear
            text = text if unclear else written.text
        elif finish in _CALLS:
            unclear = "the endpoint names a call as the reason to stop, and gives none"
    refusal = message.get("refusal")
    if not text and not given and isinstance(refusal, str) and refusal.strip():
        text, stop = refusal.strip(), "refused"
    thinking = message.get("reasoning_content")
    return Thought(
        text,
        _tool_calls(given, functions, used_ids),
        stop=stop,
        unclear=unclear,
        tokens=_tokens(body.get("usage")),
        thinking=thinking if isinstance(thinking, str) else "",
    )


def _text(content: Any) -> str:
    """Return the text of a content: parts of other types (thinking, reasoning, images) are not part of an answer."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return ""
    parts = [part if isinstance(part, str) else _part_text(part) for part in content]
    return "".join(parts)


def _part_text(part: Any) -> str:
    if not isinstance(part, Mapping) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _given_calls(message: Mapping[str, Any]) -> list[_GivenCall]:
    """Return the calls of a message; the same call with the same id twice is one."""
    listed = message.get("tool_calls")
    entries = list(listed) if isinstance(listed, list) else [listed]
    if not listed:
        entries = [message.get("function_call")]
    calls: list[_GivenCall] = []
    for call in (_given_call(entry) for entry in entries if isinstance(entry, Mapping)):
        if call.call_id is None or call not in calls:
            calls.append(call)
    return calls


def _given_call(entry: Mapping[str, Any]) -> _GivenCall:
    function = entry["function"] if isinstance(entry.get("function"), Mapping) else entry
    name, call_id = function.get("name"), entry.get("id")
    return _GivenCall(
        call_id=str(call_id) if isinstance(call_id, str | int) and str(call_id).strip() else None,
        name=name if isinstance(name, str) else "",
        arguments=function.get("arguments"),
        signature=entry.get("extra_content"),
    )


def _tool_calls(given: Sequence[_GivenCall], functions: Functions, used_ids: Collection[str]) -> list[ToolCall]:
    calls: list[ToolCall] = []
    used = set(used_ids)
    for call in given:
        call_id = _new_id(used) if call.call_id is None or call.call_id in used else call.call_id
        used.add(call_id)
        tool_id = functions.tool_id(call.name)
        parameters = functions.parameters(tool_id) if tool_id is not None else None
        arguments = mended(call.arguments, parameters)
        calls.append(ToolCall(call_id, tool_id or call.name.strip(), arguments, call.signature))
    return calls


def _new_id(used: Collection[str]) -> str:
    """Return an unused id as Mistral requires ("must be a-z, A-Z, 0-9, with a length of 9")."""
    number = len(used)
    while (call_id := f"call{number:05d}") in used:
        number += 1
    return call_id


def _tokens(usage: Any) -> int | None:
    """Return the tokens of request and answer; None if the endpoint reports none, or only zeros."""
    if not isinstance(usage, Mapping):
        return None
    count = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
    total = usage.get("total_tokens")
    known = [one for one in count if isinstance(one, int) and not isinstance(one, bool) and one > 0]
    if isinstance(total, int) and not isinstance(total, bool):
        return max(total, sum(known)) or None
    return sum(known) or None
