"""Every request has an id, over any transport: in the log, and over HTTP in the answer."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from mcp import Client

from memos_mcp.mcp_server.server import build_server
from memos_mcp.telemetry.log_format import formatter
from tests.stand_in import SCOPE, stand_in
from tests.transports.test_http import call, http_client, post

pytestmark = pytest.mark.anyio

TOKEN = "token-of-this-test"
BEARER = {"authorization": f"Bearer {TOKEN}"}
BUG = call().replace('"content":"x"', '"content":"bug"')


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of the program in JSON."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter("json"))
    logger = logging.getLogger("memos_mcp")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield stream
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_the_id_of_a_client_is_returned_and_in_the_lines_of_its_request(log: io.StringIO) -> None:
    async with http_client() as client:
        answer = await post(client, BUG, **{"x-request-id": "order-66"})
    assert answer.headers["x-request-id"] == "order-66"
    failure, outcome = lines(log)
    assert {failure["request_id"], outcome["request_id"]} == {"order-66"}
    assert failure["incident"] in answer.json()["result"]["content"][0]["text"]
    assert "RuntimeError" in failure["exception"]
    assert (outcome["tool"], outcome["outcome"]) == ("store_memory", "failed")


async def test_requests_without_a_plain_id_get_one_each(log: io.StringIO) -> None:
    async with http_client() as client:
        answers = [await post(client, call(), **headers) for headers in ({}, {"x-request-id": "no good"})]
    given = [answer.headers["x-request-id"] for answer in answers]
    assert [line["request_id"] for line in lines(log)] == given
    assert len({*given, "no good"}) == 3


async def test_a_refused_request_and_a_probe_have_an_id_too() -> None:
    async with http_client(auth_token=TOKEN) as client:
        answers = [await client.get("/metrics"), await client.get("/healthz"), await post(client, "[]", **BEARER)]
    assert [answer.status_code for answer in answers] == [401, 200, 400]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3


async def test_the_requests_of_a_connection_without_http_have_ids(log: io.StringIO) -> None:
    async with Client(build_server(stand_in(), SCOPE)) as client:
        for _ in range(2):
            await client.call_tool("store_memory", {"content": "x"})
    assert len({line["request_id"] for line in lines(log)}) == 2


async def test_no_content_is_in_the_log(log: io.StringIO) -> None:
    secret = "a very private sentence"
    async with http_client(auth_token=TOKEN) as client:
        for body in (call().replace('"x"', f'"{secret}"'), BUG.replace("[]", f'["{secret}"]'), f'{{"{secret}"'):
            await post(client, body, **BEARER)
    assert len(lines(log)) == 3
    assert secret not in log.getvalue()
    assert TOKEN not in log.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_has_the_format_of_the_setting(log_format: str) -> None:
    program = (
        "import logging; from memos_mcp.cli.command_line import Settings, _log_to_stderr;"
        f"_log_to_stderr(Settings(log_format={log_format!r})); logging.getLogger('part').warning('hello')"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    if log_format == "json":
        assert json.loads(ran.stderr)["message"] == "hello"
    else:
        assert ran.stderr.endswith(" WARNING part: hello\n")
