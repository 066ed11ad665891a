"""The to-do list, over HTTP."""

import json
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from memos_mcp.cli import seeding
from tests.examples.conftest import EXAMPLES, Start, started

SEEDS = tomllib.loads((Path(seeding.__file__).parents[1] / "seeds/initial.toml").read_text())["tools"]


def agrees(tool_id: str, answer: object) -> bool:
    """Whether an answer matches the response schema of the registered tool."""
    (schema,) = [tool["response_schema"] for tool in SEEDS if tool["tool_id"] == tool_id]
    checked = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    return not list(checked.iter_errors(answer))


def add(url: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(url, json=arguments).raise_for_status().json()
    return answer


def test_items_are_added_shown_and_ticked_off_according_to_the_schemas(start: Start, tmp_path: Path) -> None:
    url = start("tools/todo.py", "--file", tmp_path / "todo.db")
    first, second = add(url, text="  Buy milk "), add(url, text="Call Mara", due="2026-05-01")
    assert agrees("todo.add", first)
    assert agrees("todo.add", second)
    assert (first["item"]["text"], second["item"]["due"]) == ("Buy milk", "2026-05-01")

    ticked = httpx.post(f"{url}/done", json={"id": first["item"]["id"]}).json()
    assert agrees("todo.done", ticked)
    assert ticked["item"]["done_at"]
    for status, texts in {"open": ["Call Mara"], "done": ["Buy milk"], "all": ["Buy milk", "Call Mara"]}.items():
        listing = httpx.get(url, params={"status": status}).json()
        assert agrees("todo.list", listing)
        assert [item["text"] for item in listing["items"]] == texts
    assert httpx.get(url, params={"status": "all", "limit": "1"}).json()["total"] == 2


def test_an_open_item_is_not_added_again(start: Start, tmp_path: Path) -> None:
    url = start("tools/todo.py", "--file", tmp_path / "todo.db")
    first, again = add(url, text="Buy milk"), add(url, text="Buy milk")
    assert (first["created"], again["created"]) == (True, False)
    assert first["item"] == again["item"]
    for _ in range(2):
        done = httpx.post(f"{url}/done", json={"id": first["item"]["id"]}).json()["item"]["done_at"]
        assert done
    assert add(url, text="Buy milk")["item"]["id"] != first["item"]["id"]


def test_the_list_survives_a_restart(tmp_path: Path) -> None:
    with started("tools/todo.py", "--file", tmp_path / "todo.db") as url:
        kept = add(url, text="Water the plants")["item"]
    with started("tools/todo.py", "--file", tmp_path / "todo.db") as url:
        assert httpx.get(url).json()["items"] == [kept]
    with sqlite3.connect(tmp_path / "todo.db") as connection:
        assert connection.execute("SELECT text FROM items").fetchall() == [("Water the plants",)]
    connection.close()


def test_invalid_calls_get_errors_in_words_and_change_nothing(start: Start, tmp_path: Path) -> None:
    url = start("tools/todo.py", "--file", tmp_path / "todo.db")
    kind = {"content-type": "application/json"}
    for body, message in {
        '{"text": " "}': "text: String should have at least 1 character",
        '{"text": "' + "x" * 1001 + '"}': "text: String should have at most 1000 characters",
        '{"text": 5}': "text: Input should be a valid string",
        '{"text": "x", "due": "soon"}': "due: ",
        '{"test": "x"}': "text: Field required; test: Extra inputs are not permitted",
        "[]": "Input should be an object",
        "{": "Invalid JSON",
        json.dumps({"text": "x" * 70_000}): "The body has more than 65,536 bytes.",
    }.items():
        answer = httpx.post(url, content=body, headers=kind)
        assert answer.status_code in {413, 422}
        assert message in answer.json()["error"]
    assert httpx.post(url, content='{"text": "x"}', headers={"content-type": "text/plain"}).status_code == 415
    assert httpx.post(url, json={"text": "x"}, headers={"host": "evil.example.com"}).status_code == 400
    assert httpx.get(url, params={"limit": "many"}).status_code == 422
    missing = httpx.post(f"{url}/done", json={"id": 7})
    assert (missing.status_code, missing.json()["error"]) == (404, "There is no item 7 on the list.")
    assert httpx.get(url, params={"status": "all"}).json() == {"items": [], "total": 0}


@pytest.mark.parametrize("port", ["0", "taken"])
def test_an_unusable_file_or_port_is_reported(start: Start, tmp_path: Path, port: str) -> None:
    (tmp_path / "bad.db").write_text("This is not a database, but a text of some length. " * 30)
    arguments: list[str | Path] = ["--port", "0", "--file", tmp_path / "bad.db"]
    if port == "taken":
        taken = start("tools/todo.py", "--file", tmp_path / "todo.db").split(":")[2].split("/")[0]
        arguments = ["--port", taken, "--file", tmp_path / "other.db"]
    done = subprocess.run(
        [sys.executable, EXAMPLES / "tools/todo.py", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot be used: " in line
