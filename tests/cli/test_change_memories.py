"""`memos-as forget`, `restore-memory` and `history`: the real program, with its question on a terminal."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters

from memos_mcp.cli.command_line import main
from tests.cli.user_terminal import MEMOS, SECONDS, Terminal, in_pipe, on_terminal, user_of, without_styles

pytestmark = pytest.mark.anyio

MEMORIES = [
    {"content": f"The {name} bus stops at the mill.", "tags": [name, "bus"]}
    for name in ("red", "blue", "green", "grey")
]


@pytest.fixture(scope="module")
def user(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a user whose memories are stored."""
    environment = user_of(home)
    file = home / "memories.jsonl"
    file.write_text("".join(json.dumps(memory) + "\n" for memory in MEMORIES))
    assert in_pipe(environment, ["import", str(file)]).returncode == 0
    yield environment
    in_pipe(environment, ["stop"])


def listed(user: dict[str, str]) -> dict[str, str]:
    """Return the id of each memory that a listing shows, by its first tag."""
    memories = json.loads(in_pipe(user, ["list", "--json"]).stdout)["memories"]
    return {memory["tags"][0]: memory["memory_id"] for memory in memories}


def events(user: dict[str, str], memory_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(in_pipe(user, ["history", memory_id, "--json"]).stdout)["events"]
    return found


@pytest.mark.parametrize(("keys", "code"), [("n\n", 1), ("\n", 1), ("\x04", 1), ("\x03", 130)], ids=ascii)
def test_any_answer_but_yes_forgets_nothing(user: dict[str, str], keys: str, code: int) -> None:
    with Terminal(user, 80) as terminal:
        terminal.start("forget", "--tag", "bus")
        terminal.read_until("Forget 4 memories? [y/N] ")
        terminal.press(keys)
        assert terminal.finish() == code
    assert "The red bus" in without_styles(terminal.printed)
    assert ("memos-as: Nothing was forgotten.\n" in terminal.printed) == (code == 1)
    assert "Traceback" not in terminal.printed
    assert len(listed(user)) == len(MEMORIES)


def test_a_memory_is_forgotten_after_yes_restored_and_has_a_history(user: dict[str, str]) -> None:
    memory_id = listed(user)["red"]
    with Terminal(user, 80) as terminal:
        terminal.start("forget", memory_id[:8])
        terminal.read_until("Forget 1 memory? [y/N] ")
        terminal.press("y\n")
        assert terminal.finish() == 0
    assert "memos-as: Forgot 1 memory. To undo it: memos-as restore-memory ID..." in terminal.printed
    assert "red" not in listed(user)
    assert in_pipe(user, ["search", "the red bus", "--tag", "red"]).stdout == ""

    restored = in_pipe(user, ["restore-memory", memory_id[:8]])
    assert (restored.returncode, restored.stdout) == (0, f"{memory_id}\n")
    assert listed(user)["red"] == memory_id
    assert in_pipe(user, ["search", "the red bus", "--limit", "1"]).stdout.startswith(memory_id)

    assert [event["event"] for event in events(user, memory_id)][-2:] == ["forgotten", "restored"]
    assert {event["client"] for event in events(user, memory_id)[-2:]} == {"memos-as"}
    code, printed = on_terminal(user, 100, "history", memory_id)
    assert code == 0
    heading, *_, last = without_styles(printed).splitlines()
    assert heading.split() == ["WHEN", "(UTC)", "EVENT", "BY"]
    assert last.split()[2:] == ["restored", "default", "·", "memos-as", "0.1.0", "·", "command", "line"]


def test_a_dry_run_shows_what_a_filter_selects_and_forgets_nothing(user: dict[str, str]) -> None:
    done = in_pipe(user, ["forget", "--tag", "bus", "--dry-run"])
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)
    assert done.stderr == "memos-as: This would forget 4 memories.\n"
    answer = json.loads(in_pipe(user, ["forget", "--tag", "blue", "--dry-run", "--erase", "--json"]).stdout)
    assert (answer["count"], answer["memory_ids"], answer["done"]) == (1, [listed(user)["blue"]], False)
    assert len(listed(user)) == len(MEMORIES)


def test_an_erased_memory_cannot_be_restored(user: dict[str, str]) -> None:
    memory_id = listed(user)["grey"]
    erased = in_pipe(user, ["forget", "--tag", "grey", "--erase", "--yes"])
    assert (erased.returncode, erased.stdout, erased.stderr) == (0, f"{memory_id}\n", "memos-as: Erased 1 memory.\n")
    restored = in_pipe(user, ["restore-memory", memory_id])
    assert (restored.returncode, restored.stdout) == (1, "")
    assert restored.stderr.startswith(f"memos-as: {memory_id} cannot be restored: it was not forgotten, was erased")
    assert [event["event"] for event in events(user, memory_id)][-1] == "erased"


def test_forgetting_in_a_script_takes_yes(user: dict[str, str]) -> None:
    for arguments in (["--tag", "green"], ["--tag", "green", "--json"]):
        refused = in_pipe(user, ["forget", *arguments])
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "Add --yes" in refused.stderr
    memory_id = listed(user)["green"]
    done = in_pipe(user, ["forget", memory_id, "--yes", "--json"])
    assert json.loads(done.stdout)["memory_ids"] == [memory_id]
    assert "green" not in listed(user)


def test_what_is_not_there_is_reported(user: dict[str, str]) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for arguments, code in ((["--tag", "nowhere"], 0), ([unknown], 1)):
        done = in_pipe(user, ["forget", *arguments, "--yes"])
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.endswith("memos-as: No memory matches.\n")
        assert (unknown in done.stderr) == (arguments == [unknown])
    missing = in_pipe(user, ["history", unknown])
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr == f"memos-as: No event of {unknown} is recorded in namespace default.\n"


@pytest.mark.parametrize("arguments", [[], ["--yes"], ["abcd1234", "--tag", "bus"], ["--until", "never"]], ids=str)
def test_forgetting_takes_either_ids_or_a_filter(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["forget", *arguments])
    assert exited.value.code == 2
    assert re.fullmatch(r"memos-as forget: [^\n]+; see memos-as forget --help\n", capsys.readouterr().err)


async def test_earlier_versions_are_counted_shown_and_forgotten_with_their_memory(user: dict[str, str]) -> None:
    async def correct(client: Client, memory_id: str, content: str) -> str:
        changed = await client.call_tool("update_memory", {"memory_id": memory_id, "content": content})
        assert changed.structured_content is not None
        return str(changed.structured_content["memory_id"])

    first = listed(user)["blue"]
    with anyio.fail_after(SECONDS):
        async with Client(StdioServerParameters(command=MEMOS, env=user)) as client:
            second = await correct(client, first, "The blue bus stops at the pier.")
    shown = json.loads(in_pipe(user, ["show", second, first, "--json"]).stdout)["memories"]
    assert [one["memory_id"] for one in shown[0]["earlier"]] == [first]
    assert shown[1]["superseded_by"] == second
    assert "earlier" not in shown[1]
    printed = without_styles(on_terminal(user, 100, "list", "--tag", "blue", "--include-superseded")[1])
    assert f"superseded by {second[:8]}" in printed
    assert f"supersedes {first[:8]}" in printed
    then = json.loads(
        in_pipe(user, ["list", "--tag", "blue", "--as-of", shown[0]["created_at"][:-1] + "Z", "--json"]).stdout
    )
    assert [one["memory_id"] for one in then["memories"]] == [second]

    forgotten = in_pipe(user, ["forget", second, "--yes"])
    assert (forgotten.returncode, forgotten.stdout) == (0, f"{second}\n")
    assert forgotten.stderr.startswith("memos-as: Forgot 1 memory and 1 earlier version.")
    assert in_pipe(user, ["show", first]).returncode == 1
    restored = in_pipe(user, ["restore-memory", second])
    assert sorted(restored.stdout.split()) == sorted([first, second])


@pytest.mark.slow
def test_many_ids_are_forgotten_in_several_calls(user: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps({"content": f"Parcel {n}.", "tags": ["parcel"]}) + "\n" for n in range(101)))
    assert in_pipe(user, ["import", "--no-wait", str(file)]).returncode == 0
    ids = [
        line.split("\t")[0] for line in in_pipe(user, ["list", "--tag", "parcel", "--limit", "200"]).stdout.splitlines()
    ]
    for selection in (ids, ["--tag", "parcel"]):
        forgotten = in_pipe(user, ["forget", *selection, "--yes"])
        assert (forgotten.returncode, sorted(forgotten.stdout.split())) == (0, sorted(ids))
        assert forgotten.stderr == "memos-as: Forgot 101 memories. To undo it: memos-as restore-memory ID...\n"
        assert in_pipe(user, ["list", "--tag", "parcel"]).stdout == ""
        assert in_pipe(user, ["restore-memory", *ids]).returncode == 0
