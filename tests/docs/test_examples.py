"""Every block of the documentation is run, launched, called or read by the product."""

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.ingest.loadout_files import read_loadout
from memos_mcp.mcp_server.server import TOOLS
from memos_mcp.postgres.connection import connect
from memos_mcp.postgres.embedded.shared_server import EmbeddedPostgres
from memos_mcp.settings import Settings
from tests.docs.pages import PAGES, Block, blocks
from tests.docs.workspace import Workspace
from tests.orchestrator.services import Model, serving

pytestmark = pytest.mark.anyio

BLOCKS = [block for page in PAGES for block in blocks(page)]
ONCE = {(block.language, block.name, block.text): block for block in BLOCKS}
"""The blocks to run: one that several pages repeat is run once."""

SLOW = ("--watch", "--fresh", "--host", "seed team.toml")
"""Blocks with one of these are run by `make test-slow` only; the suite runs similar ones."""

TERMINAL = "export TTY_COMPATIBLE=1 TERM=dumb COLUMNS=80"
"""Commands whose output is shown print it as on a terminal without styles."""

TOOL_NAMES = {tool.name for tool in TOOLS}


async def run_shell(workspace: Workspace, block: Block) -> None:
    if "memos-as" in block.text:
        await workspace.start_engine()
    if block.output is None:
        await workspace.shell(block.text)
    else:
        assert_printed(block.output, await workspace.run(["sh", "-ec", f"{TERMINAL}\n{block.text}"]))


async def read_settings(_workspace: Workspace, block: Block) -> None:
    """Read the exported variables as the product does."""
    given: dict[str, Any] = dict(word.split("=", 1) for word in shlex.split(block.text) if word != "export")
    settings = Settings(**{name.removeprefix("MEMOS_").lower(): value for name, value in given.items()})
    assert {f"MEMOS_{name.upper()}" for name in settings.model_fields_set} == set(given)


async def run_session(workspace: Workspace, block: Block) -> None:
    """Run a program against a running engine with the model; it must print what the page shows."""
    assert block.output is not None
    await workspace.call("store_memory", {"content": "This waits until the model is loaded."})
    printed = await workspace.run([sys.executable, "-c", block.text])
    assert_printed(block.output, printed)


async def run_orchestrator(workspace: Workspace, block: Block) -> None:
    """Run the program with a scripted model at the address of its Cortex."""
    answer = "The library opens at ten."
    await workspace.start_engine()
    with serving(Model([{"content": answer}]).app) as endpoint:
        program = block.text.replace("127.0.0.1:11434", endpoint)
        assert program != block.text
        printed = await workspace.run([sys.executable, "-c", program])
    assert_printed(f"{answer} [] [] ...", printed)
    assert "none:" not in printed


async def launch_configured(workspace: Workspace, block: Block) -> None:
    """Launch each server of a client's configuration and list its tools."""
    text = workspace.localized(block.text)
    given: dict[str, Any] = json.loads(text) if block.language == "json" else tomllib.loads(text)
    (servers,) = given.values()
    for server in servers.values():
        async with workspace.client(server["command"], server.get("args", ()), **server.get("env", {})) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOL_NAMES


async def run_hooks(workspace: Workspace, block: Block) -> None:
    """Run the command of each event with an input that has a session."""
    for event, entries in json.loads(block.text)["hooks"].items():
        (command,) = re.findall(r'"command": "([^"]*)"', json.dumps(entries))
        assert command.split()[:3] == ["memos-as", "hook", event]
        assert await workspace.run(["sh", "-ec", f'echo \'{{"session_id": "docs"}}\' | {command}']) == ""


async def call_tool(workspace: Workspace, block: Block) -> None:
    await workspace.call(block.name, json.loads(block.text))


async def read_loadout_file(workspace: Workspace, block: Block) -> None:
    read_loadout("example", workspace.folder / block.name)
    tables = tomllib.loads(block.text)
    assert tables["for"] == ["ops"]


async def keep_file(workspace: Workspace, block: Block) -> None:
    """The workspace has the file; the next command of the page reads it."""
    assert (workspace.folder / block.name).read_text(encoding="utf-8") == block.text
    assert any(block.name in other.text for other in blocks(block.page) if other.language == "sh")


async def run_statements(workspace: Workspace, block: Block) -> None:
    """Run the statements of a superuser on the server of the workspace, and take them back."""
    await workspace.start_engine()
    server = EmbeddedPostgres(workspace.home / "postgres")
    connection = await connect(await server.start())
    try:
        await connection.execute(f"BEGIN; CREATE ROLE memos LOGIN; {block.text}; ROLLBACK")
    finally:
        await connection.close(timeout=5)
        await server.stop()


Handler = Callable[[Workspace, Block], Awaitable[None]]

HANDLERS: list[tuple[str, str, str, Handler]] = [
    ("sh", "", "export MEMOS_DATABASE_URL=*", read_settings),
    ("sh", "", "export MEMOS_OIDC_*", read_settings),
    ("sh", "", "export MEMOS_QDRANT_*", read_settings),
    ("sh", "", "*", run_shell),
    ("sql", "", "*", run_statements),
    ("python", "", "*orchestrator*", run_orchestrator),
    ("python", "", "*", run_session),
    ("json", "", '*ervers"*', launch_configured),
    ("json", "", '*"hooks"*', run_hooks),
    ("toml", "", "[[]mcp_servers.*", launch_configured),
    ("toml", "loadouts/*.toml", "*", read_loadout_file),
    ("toml", "*.toml", "*", keep_file),
    ("jsonl", "*.jsonl", "*", keep_file),
    ("json", "*.json", "*", keep_file),
    ("markdown", "*.md", "*", keep_file),
    ("yaml", "*.yaml", "*", keep_file),
    *(("json", name, "*", call_tool) for name in sorted(TOOL_NAMES)),
]
"""The handlers of blocks, by patterns of their language, name and text; the first match counts."""


def handler(block: Block) -> Handler | None:
    for language, name, text, handle in HANDLERS:
        if block.language == language and fnmatchcase(block.name, name) and fnmatchcase(block.text, text):
            return handle
    return None


def assert_printed(shown: str, printed: str) -> None:
    """The shown output is the printed one, shortened only at the dots; it may be wrapped anywhere between words."""
    pattern = ".*".join(re.escape(part) for part in " ".join(shown.split()).split("..."))
    assert re.fullmatch(pattern, " ".join(printed.split())), printed


def parameter(block: Block) -> Any:
    marks = [pytest.mark.slow] if block.language == "sh" and any(word in block.text for word in SLOW) else []
    return pytest.param(block, marks=marks, id=str(block))


@pytest.mark.parametrize("block", [parameter(block) for block in ONCE.values()])
async def test_the_example_works(workspace: Workspace, block: Block) -> None:
    handle = handler(block)
    assert handle is not None, f"nothing runs this block:\n{block.text}"
    await handle(workspace, block)


def test_a_block_without_a_handler_is_noticed() -> None:
    page = PAGES[0]
    for language, name in (("ruby", ""), ("json", "no_tool"), ("text", ""), ("", ""), ("toml", "notes.txt")):
        assert handler(Block(page, 1, language, name, "{}")) is None


def test_every_program_of_the_python_examples_parses() -> None:
    programs = [block for block in BLOCKS if block.language == "python"]
    assert programs
    for block in programs:
        ast.parse(block.text)


def test_output_that_differs_is_noticed() -> None:
    assert_printed("a ... c\n", "a b c\n")
    with pytest.raises(AssertionError):
        assert_printed("a ... d\n", "a b c\n")


def test_every_command_has_an_example_or_serves(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = set(re.findall(r"^    ([\w-]+)\b", capsys.readouterr().out, re.MULTILINE))
    run = {
        command
        for block in BLOCKS
        if block.language == "sh"
        for command in re.findall(r"memos-as (\w[\w-]*)", block.text)
    }
    assert commands - run == {"engine", "demo"}
