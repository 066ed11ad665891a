"""A scripted Cortex instead of a model: a small server that speaks the OpenAI protocol and knows one kind of task.

    python examples/loop/scripted_cortex.py --port 11435

For "Find out X and put it on my list" it searches for X with a search tool, puts the result on the list with another
tool, and reports the outcome; `librarian.py` has a second kind of task. Like a model it uses only its input: the
offered tools, their schemas and their answers.
It keeps no state between requests.
"""

import argparse
import json
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import librarian
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

MODEL: Final = "scripted"

_TASK: Final = re.compile(r"find out (?P<question>.+?)[,;]? and put (?:it|that) on my (?:to-do )?list", re.IGNORECASE)
_SEARCHES: Final = re.compile(r"\b(search the (?:web|internet))\b", re.IGNORECASE)
_ADDS: Final = re.compile(r"\b(put|add)\b.*\blist\b", re.IGNORECASE)
_MEMORIES: Final = re.compile(r"<memories>\n(.*?)\n</memories>", re.DOTALL)

Message = Mapping[str, Any]


def next_message(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the next message of the assistant."""
    text = "\n".join(str(message.get("content") or "") for message in messages if message["role"] == "user")
    task = _TASK.search(text)
    if corrects := librarian.TASK.search(text):
        functions = [dict(tool["function"]) for tool in tools if tool.get("type") == "function"]
        return dict(librarian.next_message(corrects, functions, dict(_answers(messages))))
    if task is None:
        return _reply("I can only find something out and put it on a list.")
    question, answers, search = task["question"], dict(_answers(messages)), _offered(tools, _SEARCHES)
    if search is None:
        return _reply(f"I have no tool to find out {question} with: nothing was looked up or noted.")
    if search["name"] not in answers:
        return _calls(search, question)
    found = _first_result(answers[search["name"]])
    if found is None:
        return _reply(f"I could not find out {question}. The search returned: {answers[search['name']]}")
    message = _list_result(f"{question[:1].upper()}{question[1:]}: {found}", _offered(tools, _ADDS), answers)
    return message | ({"content": message["content"] + _memory_count(text)} if message["content"] else {})


def _list_result(found: str, add: Mapping[str, Any] | None, answers: Mapping[str, str]) -> dict[str, Any]:
    """Put the result on the list, or report the outcome of doing so."""
    if add is None:
        return _reply(f"I have no list to put this on: {found}")
    if add["name"] not in answers:
        return _calls(add, found)
    item = _parsed(answers[add["name"]]).get("item")
    if not isinstance(item, dict):
        return _reply(f"I could not put it on the list ({answers[add['name']]}): {found}")
    return _reply(f"It is on your list as item {item.get('id')}: {item.get('text')}")


def _offered(tools: Sequence[Mapping[str, Any]], action: re.Pattern[str]) -> dict[str, Any] | None:
    """Return the first tool whose description matches."""
    functions = [dict(tool["function"]) for tool in tools if tool.get("type") == "function"]
    return next((function for function in functions if action.search(str(function.get("description")))), None)


def _answers(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    """Yield the names and answers of called tools, in order."""
    names = {call["id"]: call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}
    for message in messages:
        if message["role"] == "tool" and message.get("tool_call_id") in names:
            yield names[message["tool_call_id"]], str(message.get("content") or "")


def _first_result(answer: str) -> str | None:
    """Return the text of the best result of a search."""
    results = _parsed(answer).get("results")
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        return None
    return str(results[0].get("snippet") or results[0].get("title"))


def _parsed(answer: str) -> dict[str, Any]:
    """Return the answer of a tool, which may be nested under `answer`."""
    try:
        value = json.loads(answer)
    except ValueError:
        return {}
    inner = value.get("answer", value) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _memory_count(text: str) -> str:
    """Return a note with the number of memories in the task; a model would use them."""
    memories = _MEMORIES.search(text)
    return f" (Memories that came with the task: {len(memories[1].splitlines())}.)" if memories else ""


def _calls(function: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Call a tool with a text as its required parameter, cut to the maximum length of the schema."""
    parameters = function.get("parameters") or {}
    name = next(iter(parameters.get("required") or parameters.get("properties") or ["text"]))
    longest = (parameters.get("properties") or {}).get(name, {}).get("maxLength", len(text))
    call = {"name": function["name"], "arguments": json.dumps({name: text[:longest]})}
    return _reply(None) | {"tool_calls": [{"id": f"call_{uuid4().hex[:12]}", "type": "function", "function": call}]}


def _reply(text: str | None) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


async def complete(request: Request) -> JSONResponse:
    """Answer `POST /v1/chat/completions`."""
    try:
        asked = json.loads(await request.body())
        if asked.get("stream"):
            raise ValueError("this endpoint does not stream")  # noqa: TRY301 - reported like every other error
        message = next_message(asked["messages"], asked.get("tools") or ())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return JSONResponse({"error": {"message": str(error), "type": "invalid_request_error"}}, status_code=400)
    ending = "tool_calls" if message.get("tool_calls") else "stop"
    return JSONResponse(
        {
            "id": f"chatcmpl-{uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": asked.get("model", MODEL),
            "choices": [{"index": 0, "message": message, "finish_reason": ending}],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        }
    )


async def models(_request: Request) -> JSONResponse:
    """Answer `GET /v1/models`."""
    return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "examples"}]})


def build() -> Starlette:
    """Return the service."""
    return Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
        ]
    )


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A scripted endpoint that speaks the OpenAI protocol.")
    parser.add_argument("--port", type=int, default=11435, help="port on 127.0.0.1, 0 for any free one (11435)")
    with socket.create_server(("127.0.0.1", parser.parse_args().port)) as listener:
        # For connections too, which inherit it: an answer is written in two parts, and would wait 40 ms between them.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"Cortex: http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
        uvicorn.Server(uvicorn.Config(build(), log_level="warning")).run([listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
