"""Finds tool calls that a model wrote as text, because its server does not know the format of its template. Pure.

A call is taken where a text can only be a call: it is marked by a template, or it is nothing but a call. One within
other text may as well be an example, so the model is asked again. The formats, and the templates that they come from:

- `{"name": ..., "arguments": {...}}`, alone, in a fence or in a list (qwen2.5-coder and Granite on Ollama, LM Studio),
  with `parameters` (Llama 3.1), or as OpenAI's own `{"type": "function", "function": {...}}`;
- `<tool_call>{...}</tool_call>` (Hermes, Qwen; the last tag may be missing, as vLLM's parser of Hermes allows),
  `<tools>` (Qwen2.5-Coder), `<|tool_call|>[...]` (Granite, Phi-4), `<function_call>`;
- `<tool_call><function=NAME><parameter=KEY>VALUE</parameter></function></tool_call>` (Qwen3-Coder), and GLM's
  `<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>`;
- `<function=NAME>{...}</function>` and `<|python_tag|>{...}` (Llama 3.1), `[NAME(key="value")]` (Llama 3.2 and 4);
- `[TOOL_CALLS][{...}]`, `[TOOL_CALLS]NAME[ARGS]{...}` and `[TOOL_CALLS]NAME{...}` (Mistral, by age).
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from memos_mcp.orchestrator.call_arguments import json_values

MAX_CHARS: Final = 200_000
MAX_EXAMPLES: Final = 20

WrittenCall: TypeAlias = tuple[str, Any]
"""The name of the tool as written, and its arguments: an object, text or None."""

_MARKED: Final = re.compile(
    r"<(?P<tag>tool_call|tools|toolcall|function_call)>(?P<tagged>.*?)(?:</(?P=tag)>|\Z)"
    r"|<\|tool_call\|>(?P<granite>.*?)(?:<\|/tool_call\|>|\Z)"
    r"|<\|python_tag\|>(?P<python>.*?)(?:<\|eom_id\|>|<\|eot_id\|>|\Z)"
    r"|\[TOOL_CALLS\](?P<mistral>.*?)(?=\[TOOL_CALLS\]|</s>|\Z)"
    r"|(?P<function><function=.*?(?:</function>|\Z))",
    re.DOTALL,
)
_FUNCTION: Final = re.compile(r"\s*<function=(?P<name>[^>\s]+)>(?P<body>.*?)(?P<end></function>|\Z)", re.DOTALL)
_PARAMETER: Final = re.compile(r"<parameter=(?P<key>[^>]+)>\n?(?P<value>.*?)\n?</parameter>", re.DOTALL)
_GLM: Final = re.compile(r"<arg_key>(?P<key>.*?)</arg_key>\s*<arg_value>(?P<value>.*?)</arg_value>", re.DOTALL)
_MISTRAL: Final = re.compile(
    r"\s*(?P<name>[\w.-]+)\s*(?:\[CALL_ID\]\w+)?(?:\[ARGS\])?\s*(?P<body>\{.*\})\s*\Z", re.DOTALL
)
_FENCE: Final = re.compile(r"```[\w-]*\s*\n(?P<body>.*?)```", re.DOTALL)
_OTHER_MARKS: Final = re.compile(
    r"<[|\uff5c]tool[\u2581_]calls?[\u2581_](?:begin|section_begin)[|\uff5c]>|<\uff5cDSML\uff5c"
    r"|<tool_use>|<invoke name=|<\|tool_call>"
)
"""Of DeepSeek, Kimi, MiniMax and Gemma: known to be calls, but not read."""
_EXAMPLE: Final = re.compile(r'\{\s*"(?:name|function|tool|tool_name|tool_calls|type|arguments|parameters)"\s*:')
_NAMES: Final = ("name", "function", "tool", "tool_name", "function_name")
_ARGUMENTS: Final = ("arguments", "parameters", "args", "input", "tool_input")
_BESIDE: Final = frozenset({"id", "call_id", "tool_call_id", "type", "index", "thought", "thoughts", "reasoning"})


@dataclass(frozen=True, slots=True)
class WrittenCalls:
    """The calls in a text and the `text` around them, or the reason why it is `unclear` whether and what it calls."""

    calls: Sequence[WrittenCall] = ()
    text: str = ""
    unclear: str | None = None


def written_calls(text: str, is_known: Callable[[str], bool]) -> WrittenCalls | None:
    """Return the calls that a text holds, or None if it looks like none. `is_known` recognizes the name of a tool."""
    if len(text) > MAX_CHARS:
        return None
    found = list(_MARKED.finditer(text))
    if found:
        calls = [_marked_calls(_payload(mark)) for mark in found]
        around = _MARKED.sub(" ", text).replace("</tool_call>", " ").strip()
        return _checked(calls, around, is_known)
    if _OTHER_MARKS.search(text):
        return WrittenCalls(unclear="it is in the format of a chat template")
    alone = _calls_alone(text.strip(), is_known)
    if alone is not None:
        return _checked([alone], "", is_known)
    if _resembles_call(text, is_known):
        return WrittenCalls(unclear="it stands in other text, or is not complete")
    return None


def _checked(found: Sequence[Sequence[WrittenCall] | None], text: str, is_known: Callable[[str], bool]) -> WrittenCalls:
    """Return all calls, or why they are unclear: one that cannot be read makes all of them so."""
    calls = [call for part in found for call in part or ()]
    if not calls or not all(found):
        return WrittenCalls(unclear="it cannot be read")
    unknown = [name for name, _ in calls if not is_known(name)]
    if unknown:
        return WrittenCalls(unclear=f"there is no tool {unknown[0][:80]!r}")
    return WrittenCalls(calls, text)


def _payload(mark: re.Match[str]) -> str:
    return next((part for name, part in mark.groupdict().items() if part and name != "tag"), "")


def _marked_calls(payload: str) -> list[WrittenCall] | None:
    payload = _without_fence(payload.strip())
    functions = list(_FUNCTION.finditer(payload))
    if functions:
        return _function_calls(functions)
    mistral = _MISTRAL.match(payload)
    if mistral:
        return [(mistral["name"], mistral["body"])]
    if "<arg_key>" in payload:
        pairs = {pair["key"].strip(): pair["value"] for pair in _GLM.finditer(payload)}
        complete = len(pairs) == payload.count("<arg_key>")
        return [(payload.partition("<arg_key>")[0].strip(), pairs)] if complete else None
    return _json_calls(payload) or _python_calls(payload)


def _function_calls(functions: Sequence[re.Match[str]]) -> list[WrittenCall] | None:
    """Return calls with the parameters of Qwen3-Coder as texts, or the JSON of Llama as written; none if cut off."""
    calls: list[WrittenCall] = []
    for function in functions:
        body = function["body"].strip()
        parameters = {pair["key"].strip("\"'"): pair["value"] for pair in _PARAMETER.finditer(body)}
        if body.count("<parameter=") != len(parameters) or not function["end"]:
            return None
        calls.append((function["name"].strip("\"'"), parameters or body))
    return calls


def _calls_alone(text: str, is_known: Callable[[str], bool]) -> list[WrittenCall] | None:
    """Return the calls that are all of a text, alone or in fences; in the form of Python, only those of known tools."""
    fences = [fence["body"].strip() for fence in _FENCE.finditer(text)]
    parts = fences if fences and not _FENCE.sub("", text).strip() else [text]
    calls = [_json_calls(part) or _python_calls(part, is_known) for part in parts]
    return [call for part in calls for call in part or ()] if all(calls) else None


def _json_calls(text: str) -> list[WrittenCall] | None:
    values = json_values(text) if text[:1] in {"{", "["} else None
    if values is None:
        return None
    flat = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
    calls = [_call_in(entry) for entry in flat]
    return [call for part in calls for call in part] if calls and all(calls) else None


def _call_in(entry: Any) -> list[WrittenCall]:
    """Return the call that an object is, the calls that it lists, or nothing."""
    if not isinstance(entry, Mapping):
        return []
    if isinstance(entry.get("tool_calls"), list):
        return [call for part in entry["tool_calls"] for call in _call_in(part)]
    if isinstance(entry.get("function"), Mapping) and set(entry) <= {"function", *_BESIDE}:
        return _call_in(entry["function"])
    name = next((entry[key] for key in _NAMES if isinstance(entry.get(key), str)), None)
    given = [key for key in _ARGUMENTS if key in entry]
    if name is None or len(given) != 1 or set(entry) - {*given, *_NAMES, *_BESIDE}:
        return []
    arguments = entry[given[0]]
    if isinstance(arguments, Mapping) and {"type", "properties"} <= set(arguments):
        return []  # the definition of a function
    return [(name, arguments)] if arguments is None or isinstance(arguments, Mapping | str) else []


def _python_calls(text: str, is_known: Callable[[str], bool] = lambda _: True) -> list[WrittenCall] | None:
    """Return calls in the form of Python: `[name(key="value"), other()]`, with literal values, all of known tools."""
    if len(text) > MAX_CHARS or not text.endswith((")", ")]")):
        return None
    try:
        parsed = ast.parse(text, mode="eval").body
        nodes = parsed.elts if isinstance(parsed, ast.List) else [parsed]
        calls = [_python_call(node) for node in nodes]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None
    return calls if calls and all(is_known(name) for name, _ in calls) else None


def _python_call(node: ast.expr) -> WrittenCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with named arguments")
    arguments = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg is not None}
    if len(arguments) != len(node.keywords):
        raise ValueError("arguments that are not literals")
    return ast.unparse(node.func), arguments


def _resembles_call(text: str, is_known: Callable[[str], bool]) -> bool:
    """Return whether a call of a known tool is somewhere in a text, or begins in it and is cut off."""
    for start in list(_EXAMPLE.finditer(text))[:MAX_EXAMPLES]:
        rest = text[start.start() : start.start() + 2_000]
        name = re.search(r'"(?:name|function|tool|tool_name|function_name)"\s*:\s*"([^"\n]{1,200})"', rest)
        given = re.search(r'"(?:arguments|parameters|args|input|tool_input)"\s*:', rest)
        if name and given and is_known(name[1]):
            return True
    return False


def _without_fence(text: str) -> str:
    fence = _FENCE.fullmatch(text)
    return fence["body"].strip() if fence else text
