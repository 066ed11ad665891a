"""What agents pass to tools, and what tools answer, is in nothing that the program writes, shows or stores.

The caller reads the answer. A task, its result and whether a call worked are stored by design, in the words of others.
"""

import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.acceptance import repeating_tools
from tests.acceptance.raw_clients import HttpRawClient, StdioRawClient
from tests.acceptance.repeating_tools import ANSWERS, LOCATIONS, REPLY, Endpoints
from tests.acceptance.servers import Server
from tests.acceptance.traces import holding, outputs, traces
from tests.cli.user_terminal import user_of
from tests.orchestrator.services import Model, calling
from tests.prepared_home import copy_home
from tests.tool_calling.endpoints import free_port, serving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PLANTED = "planted4e91"
"""What every secret begins with."""
ANSWER = f"{PLANTED}-answer"
GIVEN = {name: f"{PLANTED}-{name}" for name in ("part", "question", "head", "body", "coded")}
WRONG = f"{PLANTED}-wrong"
TASK = "Count the takings of the kiosk"
WAYS = ("answer", "misfit", "text", "error", "-32602", "-32700", "-32000", "-32603")

ORCHESTRATED_SECONDS = 120
ORCHESTRATED = """
import anyio, json, logging, sys
from memos_mcp.composition.tool_calling import tool_setup
from memos_mcp.orchestrator.loop import Orchestrator
from memos_mcp.orchestrator.openai_cortex import OpenAICortex
from memos_mcp.settings import Settings
async def main(cortex, memory, tasks):
    settings = Settings()
    setup, token = tool_setup(settings), (settings.home / "http-token").read_text().strip()
    model = OpenAICortex("scripted", base_url=cortex, max_retries=0)
    async with setup.server_caller() as servers, Orchestrator.open(
        model, memory=memory, token=token, private_hosts=setup.private_hosts, servers=servers
    ) as orchestrator:
        for task in tasks:
            outcome = await orchestrator.delegate(task, needs=["till.answers", "till.forbids", "web.repeat"])
            calls = [call.tool_id for call in outcome.calls]
            print(json.dumps([outcome.ended, outcome.stored, calls, [step.text for step in outcome.steps]]))
logging.basicConfig(level="DEBUG")
anyio.run(main, sys.argv[1], sys.argv[2], sys.argv[3:])
"""


@dataclass(frozen=True, slots=True)
class Office:
    """A server whose tools repeat secrets, the endpoints of those tools, and the environment of its user."""

    server: Server
    bridge: StdioRawClient
    endpoints: Endpoints
    user: Mapping[str, str]


@pytest.fixture(scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory, home_template: Path) -> AsyncIterator[Office]:
    home = tmp_path_factory.mktemp("office")
    endpoints = Endpoints(ANSWER)
    with serving(endpoints.app) as host, serving(repeating_tools.build().streamable_http_app(host="any")) as web:
        closed = f"127.0.0.1:{free_port()}"
        settings = {
            "MEMOS_LOG_LEVEL": "debug",
            "MEMOS_TOOL_PRIVATE_HOSTS": f"{host},{web},{closed}",
            "MEMOS_TOOL_SECONDS": "3",
        }
        user = user_of(copy_home(home_template, home / "home")) | settings
        server = Server(home / "home", ("serve", "--port", "0"), settings)
        try:
            assert server.url
            program = [sys.executable, str(repeating_tools.__file__)]
            added = [
                *outputs(user, ("tools", "add-mcp", "mcp", "--", *program)),
                *outputs(user, ("tools", "add-mcp", "web", "--url", f"http://{web}/mcp")),
            ]
            assert ["mcp.repeat" in added[0], "web.repeat" in added[1]] == [True, True], added
            bridge = await StdioRawClient(Server(home / "home", (), settings)).open()
            for tool in tools(host, closed):
                assert (await bridge.call("register_tool", tool)).data["outcome"] == "created"
            yield Office(server, bridge, endpoints, user)
            bridge.server.leave()
        finally:
            server.stop()


def tools(host: str, closed: str) -> Iterator[dict[str, Any]]:
    """Yield the registrations of a tool for each behaviour, of one for each form of a body, and of an absent one."""
    for behaviour in [*ANSWERS, "sleeps", "absent"]:
        yield {
            "tool_id": f"till.{behaviour}",
            "name": behaviour,
            "description": f"It {behaviour}.",
            "endpoint_url": f"http://{closed if behaviour == 'absent' else host}/{behaviour}/{{part}}",
            "method": "HEAD" if behaviour == "heads" else "POST",
            "request_schema": LOCATIONS,
            "response_schema": REPLY,
        }
    for body in ("form", "multipart"):
        schema = {**LOCATIONS, "x-body": body}
        shared = {"name": body, "description": f"Sends a {body}.", "endpoint_url": f"http://{host}/misfits/{{part}}"}
        yield {"tool_id": f"till.{body}", "request_schema": schema, **shared}


def call(tool_id: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_id": tool_id, "arguments": arguments, "task": TASK}


def calls() -> Iterator[dict[str, Any]]:
    """Yield the calls: every behaviour, every form of a body, every kind of wrong arguments, every way of a server."""
    for behaviour in [*ANSWERS, "sleeps", "absent", "form", "multipart"]:
        given = {name: text for name, text in GIVEN.items() if behaviour != "heads" or name != "body"}
        yield call(f"till.{behaviour}", **given)
    for wrong in ({"count": WRONG}, {"coded": f"{WRONG} "}, {"head": f"{WRONG}\n"}, {"part": f"{WRONG}/.."}):
        yield call("till.answers", **(GIVEN | wrong))
    yield call("till.heads", part="1", **{WRONG: WRONG})
    yield call("till.answers", question=WRONG)
    yield {**call("till.answers"), "arguments": f'["{WRONG}"]'}
    for server in ("mcp", "web"):
        for way in WAYS:
            yield call(f"{server}.repeat", word=ANSWER, how=way)
        yield call(f"{server}.repeat", word=[WRONG], how="answer")


async def test_no_argument_and_no_answer_of_call_tool_is_kept_or_shown(office: Office, tmp_path: Path) -> None:
    answers = [json.dumps((await office.bridge.call("call_tool", one)).message) for one in calls()]
    assert sum(ANSWER in answer for answer in answers) > len(ANSWERS)
    assert sum(WRONG in answer for answer in answers) >= 5
    http = HttpRawClient(office.server)
    for one in (call("till.answers", **GIVEN), call("till.answers", part="1", count=WRONG)):
        assert PLANTED in json.dumps((await http.call("call_tool", one)).message)
        url, header = office.server.url, office.server.token_header
        async with httpx2.AsyncClient(headers=header, trust_env=False, timeout=60) as web:
            streamable = streamable_http_client(f"{url}/mcp", http_client=web)
            for transport in (streamable, sse_client(f"{url}/sse", headers=header)):
                async with Client(transport) as client:
                    assert PLANTED in (await client.call_tool("call_tool", one)).model_dump_json()
    await http.close()
    assert all(any(text in seen for seen in office.endpoints.seen) for text in GIVEN.values())

    found = await traces(office.server, office.user, tmp_path)
    for kept in ("rows", "export", "backup", "tools outcomes --json"):
        assert TASK.encode() in found[kept], kept
    assert b"DEBUG" in found["log"]
    assert holding(found, PLANTED) == {}
    assert office.endpoints.processes
    assert [line for line in office.endpoints.processes if PLANTED in line] == []


async def test_no_argument_and_no_answer_of_a_delegated_task_is_kept_or_shown(office: Office, tmp_path: Path) -> None:
    given, wrong = json.dumps(GIVEN), json.dumps({**GIVEN, "count": WRONG})
    repeated = [("web_repeat", json.dumps({"word": ANSWER, "how": way})) for way in ("answer", "error", "-32700")]
    used = calling(("till_answers", given), ("till_answers", wrong), ("till_forbids", given), *repeated)
    echoed = (500, {"error": {"message": f"cannot continue after {ANSWER}"}})
    model = Model([used, {"content": "The takings are counted."}, used, echoed])
    tasks = ["Count the takings", "Count the takings again"]
    with serving(model.app) as endpoint:
        script = [sys.executable, "-c", ORCHESTRATED, f"http://{endpoint}/v1", f"{office.server.url}/mcp", *tasks]
        with anyio.fail_after(ORCHESTRATED_SECONDS):
            done = await anyio.run_process(script, env=office.user, check=False)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert [first[0], second[0]] == ["answered", "cortex down"]
    assert first[1] is not None
    assert second[1] is not None
    assert set(first[2]) == {"till.answers", "till.forbids", "web.repeat"}
    assert ANSWER in json.dumps(model.asked[1]["messages"])

    found = {**await traces(office.server, office.user, tmp_path), "log of the orchestrator": done.stderr}
    for kept in ("rows", "export", "backup", "list --json"):
        assert b"The takings are counted." in found[kept], kept
    assert b"DEBUG" in found["log of the orchestrator"]
    assert holding(found, PLANTED) == {}
    assert [line for line in office.endpoints.processes if PLANTED in line] == []
