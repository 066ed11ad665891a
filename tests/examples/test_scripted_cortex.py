"""The scripted Cortex: its messages follow from the requests."""

import json
import tomllib
from pathlib import Path
from typing import Any

from openai import OpenAI
from scripted_cortex import next_message

from memos_mcp.cli import seeding
from tests.examples.conftest import Start

TASK = "Task: Find out when the library opens and put it on my list."
FOUND = json.dumps(
    {"query": "x", "results": [{"title": "Library", "url": "file:///x", "snippet": "It opens at nine."}]}
)
ADDED = json.dumps({"item": {"id": 4, "text": "When the library opens: It opens at nine."}, "created": True})


def offer(*renamed: tuple[str, str]) -> list[dict[str, Any]]:
    """Return initial tools as functions, with these names."""
    seeds = tomllib.loads((Path(seeding.__file__).parents[1] / "seeds/initial.toml").read_text())["tools"]
    tools = {tool["tool_id"]: tool for tool in seeds}
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"{tools[tool_id]['name']}: {tools[tool_id]['description']}",
                "parameters": tools[tool_id]["request_schema"],
            },
        }
        for tool_id, name in renamed
    ]


TOOLS = offer(("todo.list", "t1"), ("todo.add", "t2"), ("todo.done", "t3"), ("web.search", "t4"))


def called(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    (call,) = message["tool_calls"]
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def talk(*answers: str, task: str = TASK, tools: list[dict[str, Any]] = TOOLS) -> dict[str, Any]:
    """Answer its calls with these; return its message after the last."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": "Rules."}, {"role": "user", "content": task}]
    for answer in answers:
        message = next_message(messages, tools)
        messages += [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": answer}]
    return next_message(messages, tools)


def test_it_searches_then_adds_what_was_found_then_answers() -> None:
    assert called(talk()) == ("t4", {"query": "when the library opens"})
    assert called(talk(FOUND)) == ("t2", {"text": "When the library opens: It opens at nine."})
    assert called(talk(f'{{"answer": {FOUND}}}')) == called(talk(FOUND))
    assert talk(FOUND, ADDED)["content"] == "It is on your list as item 4: When the library opens: It opens at nine."


def test_it_uses_only_the_offered_tools() -> None:
    assert "no tool" in talk(tools=[])["content"]
    assert "no tool" in talk(tools=offer(("todo.add", "add")))["content"]
    assert (
        "no list to put this on: When the library opens: It opens at nine."
        in talk(FOUND, tools=offer(("web.search", "search")))["content"]
    )


def test_it_reports_failures() -> None:
    assert "The search returned: It cannot be reached." in talk("It cannot be reached.")["content"]
    assert "could not find out" in talk('{"query": "x", "results": []}')["content"]
    assert "could not put it on the list (It is full.)" in talk(FOUND, "It is full.")["content"]
    assert "can only" in talk(task="Task: Write a poem.")["content"]


def test_it_counts_the_memories_in_the_task() -> None:
    task = f'{TASK}\n\n<memories>\n{{"content": "a"}}\n{{"content": "b"}}\n</memories>'
    assert talk(FOUND, ADDED, task=task)["content"].endswith("(Memories that came with the task: 2.)")


def test_it_speaks_the_protocol_of_the_client_library(start: Start) -> None:
    with OpenAI(base_url=start("loop/scripted_cortex.py"), api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["scripted"]
        messages: Any = [{"role": "user", "content": TASK}]
        tools: Any = TOOLS
        answer = client.chat.completions.create(model="scripted", messages=messages, tools=tools)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].type == "function"
