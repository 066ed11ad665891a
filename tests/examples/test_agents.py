"""Each agent of the examples, with a scripted model: what one process stores, the next one recalls."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import preloaded
from tests.examples.conftest import EXAMPLES
from tests.orchestrator.services import Model, calling, serving
from tests.prepared_home import copy_home
from tests.server_environment import server_environment

FACT = "Mara reads answers on her phone and wants them short."
QUESTION = "How should I write to Mara?"

Line = dict[str, Any] | Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, home_template: Path) -> Iterator[dict[str, str]]:
    """The environment of a home, whose engine is stopped at the end."""
    home = copy_home(home_template, tmp_path_factory.mktemp("agents") / "home")
    variables = server_environment(MEMOS_HOME=home, MEMOS_INDEX_WAIT_SECONDS=30)
    yield variables
    preloaded.run(["stop"], variables, timeout=60).check_returncode()


def answered(program: str, task: str, lines: list[Line], environment: dict[str, str]) -> tuple[str, Model]:
    model = Model(lines)
    with serving(model.app) as host:
        done = subprocess.run(
            [sys.executable, EXAMPLES / "agents" / program, task, "--model-url", f"http://{host}/v1"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), model


def last_tool_answer(asked: dict[str, Any]) -> dict[str, Any]:
    (*_, answer) = (message["content"] for message in asked["messages"] if message["role"] == "tool")
    return {"content": answer if isinstance(answer, str) else json.dumps(answer)}


@pytest.mark.parametrize("program", ["plain_loop.py", "openai_agents_sdk.py", "pydantic_ai_agent.py"])
def test_an_agent_stores_what_it_learns_and_recalls_it_in_another_process(
    program: str, environment: dict[str, str]
) -> None:
    mine = environment | {"MEMOS_NAMESPACE": program}
    store = calling(("store_memory", json.dumps({"content": FACT, "kind": "semantic"})))
    reply, model = answered(program, FACT, [store, {"content": "Noted."}], mine)
    assert reply == "Noted."
    offered = {tool["function"]["name"]: tool["function"] for tool in model.asked[0]["tools"]}
    assert offered["store_memory"]["parameters"]["required"] == ["content"]
    reply, model = answered(
        program, QUESTION, [calling(("query_memory", json.dumps({"query": QUESTION}))), last_tool_answer], mine
    )
    assert FACT in reply
    assert len(model.asked) == 2


def test_the_plain_loop_shows_the_model_what_the_server_refuses(environment: dict[str, str]) -> None:
    lines: list[Line] = [calling(("query_memory", '{"limit": "many"}'), ("query_memory", "{")), last_tool_answer]
    reply, model = answered("plain_loop.py", QUESTION, lines, environment)
    answers = [message["content"] for message in model.asked[1]["messages"] if message["role"] == "tool"]
    assert "limit must be an integer from 1 to 100" in answers[0]
    assert json.loads(reply) == {"error": "The arguments are not a JSON object."}


def test_the_graph_recalls_before_the_model_answers_and_keeps_the_answer(environment: dict[str, str]) -> None:
    mine = environment | {"MEMOS_NAMESPACE": "langgraph"}
    reply, model = answered("langgraph_agent.py", FACT, [{"content": "Noted: short answers."}], mine)
    assert reply == "Noted: short answers."
    assert "- nothing" in model.asked[0]["messages"][0]["content"]
    _, model = answered("langgraph_agent.py", QUESTION, [{"content": "Briefly."}], mine)
    assert f"- {FACT}\nNoted: short answers." in model.asked[0]["messages"][0]["content"]
