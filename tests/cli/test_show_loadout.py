"""`memos-as loadout`: its output, and its call to the engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.cli.command_line import main
from memos_mcp.cli.show_loadout import lines

PACK: dict[str, Any] = {
    "name": "staging",
    "role": "You maintain staging.",
    "capabilities": ["network"],
    "memories": [
        {
            "memory_id": "m",
            "content": "The staging\n\x1b[31mdatabase moved.",
            "kind": "episodic",
            "tags": [],
            "excerpt": {"start": 5, "end": 36, "length": 4_000},
            "reason": "need: where is it",
            "score": 0.512,
            "tokens": 50,
        }
    ],
    "tools": [
        {
            "tool_id": "web.search",
            "name": "Web Search",
            "description": "Search the web.",
            "endpoint_url": "https://tools.example.com/search",
            "required_capabilities": ["network"],
            "omitted": ["request_schema"],
            "reason": "pinned",
            "tokens": 1_060,
        }
    ],
    "tokens": {"memories": {"used": 50, "budget": 1_500}, "tools": {"used": 1_060, "budget": 2_000}},
    "uncovered": ["speak Finnish"],
    "missing": ["deleted.tool"],
    "left_out": {"memories": 2, "tools": 0, "withheld": 1},
    "degraded": "Matched by words only.",
    "note": "1 tools lack a schema.",
}


def test_a_pack_is_printed_for_people() -> None:
    assert "\n".join(lines(PACK)).split("\n") == [
        "loadout staging",
        "  You maintain staging.",
        "  capabilities: network",
        "",
        "memories: 1, 50 of 1,500 tokens",
        "  [need: where is it, score 0.51, 50 tokens]",
        "    The staging  [31mdatabase moved.",
        "    (characters 5 to 36 of 4,000)",
        "",
        "tools: 1, 1,060 of 2,000 tokens",
        "  [pinned, 1,060 tokens]",
        "    web.search (Web Search) https://tools.example.com/search needs network",
        "    Search the web.",
        "    (without request_schema)",
        "",
        "uncovered: speak Finnish",
        "missing: deleted.tool",
        "left out: 2 memories, 0 tools; 1 tools withheld",
        "degraded: Matched by words only.",
        "note: 1 tools lack a schema.",
    ]


def test_a_pack_of_which_meaning_could_not_be_judged_says_so() -> None:
    printed = "\n".join(lines(PACK | {"uncovered": None}))
    assert "\nuncovered: unknown, because the embedding model cannot read the script of a need\n" in printed


@pytest.fixture
def prepared_home(home: Path, nothing_set: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a home with a memory and a loadout; its engine is stopped afterwards."""
    nothing_set.setenv("MEMOS_HOME", str(home))
    (home / "loadouts").mkdir()
    (home / "loadouts" / "staging.toml").write_text('role = "You maintain staging."')
    (home / "memories.jsonl").write_text(json.dumps({"content": "The staging database moved on Tuesday."}))
    yield home
    main(["stop"])


def test_the_command_asks_the_engine_and_names_the_folder_for_a_missing_file(
    prepared_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", str(prepared_home / "memories.jsonl")]) == 0
    capfd.readouterr()

    needs = ["--need", "when did the staging database move", "--need", "boil an egg"]
    assert main(["loadout", "staging", "prepare the staging database", *needs, "--json"]) == 0
    packed = json.loads(capfd.readouterr().out)
    assert [memory["content"] for memory in packed["memories"]] == ["The staging database moved on Tuesday."]
    assert (packed["uncovered"], packed["degraded"]) == (["boil an egg"], None)

    assert main(["loadout", "staging", "the staging database"]) == 0
    assert "[task, score" in capfd.readouterr().out

    assert main(["status"]) == 0
    missing = f"For it there are: staging. Loadouts are files NAME.toml in {prepared_home}"
    for name, message in (("stagin", missing), ("../x", "without a path")):
        assert main(["loadout", name, "x"]) == 1
        assert message in capfd.readouterr().err
