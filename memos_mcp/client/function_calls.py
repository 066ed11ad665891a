"""The tools of memOS.as as functions of an endpoint that speaks the OpenAI protocol, for loops without a framework."""

import json
from collections.abc import Collection
from typing import Any

from pydantic import RootModel

from memos_mcp.client.client_errors import CallRefused
from memos_mcp.client.reconnecting_client import ReconnectingClient


class _Anything(RootModel[dict[str, Any]]):
    """An answer that is passed on unchanged."""


async def function_definitions(memos: ReconnectingClient, names: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return entries for `tools` of a chat completion: of all tools of the server, or of those with these names.

    Raises `MemosClientError`.
    """
    return [
        {
            "type": "function",
            "function": {"name": name, "description": tool.description or "", "parameters": tool.input_schema},
        }
        for name, tool in (await memos.tools()).items()
        if not names or name in names
    ]


async def answer_to_call(memos: ReconnectingClient, name: str, arguments: str) -> str:
    """Return the content of the `tool` message that answers a call: JSON text, also of what the server refuses.

    name and arguments: of the call, as the model wrote them. Raises `ServerUnavailable` and `UnreadableAnswer`. A call
    whose connection is lost is not repeated.
    """
    try:
        given = json.loads(arguments or "{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return json.dumps({"error": "The arguments are not a JSON object."})
    try:
        answer = await memos.call(name, given, _Anything, repeatable=False)
    except CallRefused as refused:
        return json.dumps({"error": str(refused)}, ensure_ascii=False)
    return json.dumps(answer.root, ensure_ascii=False)
