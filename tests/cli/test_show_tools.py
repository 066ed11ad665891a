"""`memos-as tools`: the real program on a terminal and in pipes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.user_terminal import cells, in_pipe, on_terminal, user_of, without_styles

TOOLS: list[dict[str, Any]] = [
    {
        "tool_id": f"team.tool{number:02}",
        "name": f"Tool {number:02}",
        "description": f"Does thing number {number} for the team.",
        "endpoint_url": "https://tools.example.com/do",
        "required_capabilities": ["network", "team"],
    }
    for number in range(60)
]
TRAINS = {
    "tool_id": "trains",
    "name": "Train times \u202e",
    "description": "Return when trains leave.\x1b[31m\nThe second line.",
    "endpoint_url": "https://tools.example.com/trains",
    "request_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture(scope="module")
def user(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a user whose tools are registered."""
    environment = user_of(home)
    file = home / "tools.jsonl"
    file.write_text("".join(json.dumps(tool) + "\n" for tool in [*TOOLS, {**TRAINS, "name": "Train times"}]))
    assert in_pipe(environment, ["import", str(file)]).returncode == 0
    yield environment
    in_pipe(environment, ["stop"])


def test_every_tool_is_listed_also_beyond_the_limit_of_the_mcp_tool(user: dict[str, str]) -> None:
    listed = in_pipe(user, ["tools", "list"])
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert [row[0] for row in rows] == [*(tool["tool_id"] for tool in TOOLS), "trains"]
    assert rows[0][4] == "network,team"
    assert rows[-1][5] == "Return when trains leave.\\x1b[31m\\nThe second line."


def test_tools_are_filtered_by_capabilities(user: dict[str, str]) -> None:
    required = json.loads(in_pipe(user, ["tools", "list", "--requires", "team", "--limit", "2", "--json"]).stdout)
    assert (len(required["tools"]), required["total"], required["has_more"]) == (2, 60, True)
    allowed = in_pipe(user, ["tools", "list", "--has", "network"])
    assert [line.split("\t")[0] for line in allowed.stdout.splitlines()] == ["trains"]
    assert allowed.stderr == "memos-as: 60 withheld: they need more than the agent has.\n"


def test_a_search_finds_tools_for_several_needs(user: dict[str, str]) -> None:
    found = json.loads(in_pipe(user, ["tools", "search", "when do trains leave", "thing number 7", "--json"]).stdout)
    assert {"trains", "team.tool07"} <= {tool["tool_id"] for tool in found["tools"]}
    code, printed = on_terminal(user, 60, "tools", "search", "when do trains leave", "--limit", "1")
    table = without_styles(printed).splitlines()
    assert code == 0
    assert table[0].split() == ["ID", "SCORE", "TOOL"]
    assert table[1].startswith("trains  ")
    assert max(map(cells, table)) <= 60
    assert "\\x1b[31m" in printed
    assert "https://tools.example.com/trains" in printed


def test_a_tool_is_shown_with_its_schema(user: dict[str, str]) -> None:
    shown = in_pipe(user, ["tools", "show", "trains", "--json"])
    (tool,) = json.loads(shown.stdout)["tools"]
    assert (tool["description"], tool["request_schema"]) == (TRAINS["description"], TRAINS["request_schema"])
    code, printed = on_terminal(user, 100, "tools", "show", "trains", "nothing")
    assert code == 1
    assert '{"type": "object", "properties": {"city": {"type": "string"}}}' in printed
    assert "leave.\\x1b[31m\nThe second line." in printed
    assert "memos-as: nothing is not registered in namespace default." in printed
