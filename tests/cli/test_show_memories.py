"""`memos-as search`, `list` and `show`: the real program on a terminal, in pipes, and when it is interrupted."""

import errno
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from mcp import Client, StdioServerParameters

from memos_mcp.cli.command_line import main
from memos_mcp.ipc.run_dir import RunDir
from tests.cli.user_terminal import MEMOS, SECONDS, Terminal, cells, in_pipe, on_terminal, user_of, without_styles

pytestmark = pytest.mark.anyio

EVIL = "a \x1b]0;title\x07 \x1b[31mred\x1b[0m \x9b31m \u202etxt.exe [bold]markup[/bold]\nsecond\tline \\n"
LONG = " ".join(f"Paragraph {number} is about the harbour." for number in range(1_100))
MEMORIES: list[dict[str, Any]] = [
    {"content": "Mara reads answers on her phone.", "kind": "semantic", "tags": ["people", "mara"], "importance": 0.7},
    {"content": EVIL, "tags": ["evil"], "metadata": {"\x1b[2J": "\x9b2J"}, "session_id": "s1"},
    {
        "content": "数据库已经迁移到新的集群。旧的数据库是只读的、只有迁移工具还可以写入、直到月底为止。",
        "tags": ["运维"],
    },
    {"content": LONG, "kind": "document", "tags": ["harbour"], "occurred_at": "2026-05-01T10:00:00Z"},
    {"content": "The ferry leaves at nine.", "kind": "procedural", "occurred_at": "2026-05-02T10:00:00Z"},
    {
        "content": "The tram stops at ten.",
        "metadata": {"line": 4},
        "session_id": "s2",
        "occurred_at": "2026-05-03T10:00Z",
    },
]


@pytest.fixture(scope="module")
def user(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a user whose memories are stored, without an engine."""
    environment = user_of(home)
    file = home / "memories.jsonl"
    file.write_text("".join(json.dumps(memory) + "\n" for memory in MEMORIES))
    assert in_pipe(environment, ["import", str(file)]).returncode == 0
    yield environment
    in_pipe(environment, ["stop"])


def rows(output: str) -> list[list[str]]:
    return [line.split("\t") for line in output.splitlines()]


@pytest.fixture(scope="module")
def ids(user: dict[str, str]) -> dict[str, str]:
    """The id of each memory by its first tag."""
    memories = json.loads(in_pipe(user, ["list", "--json"]).stdout)["memories"]
    return {memory["tags"][0]: memory["memory_id"] for memory in memories if memory["tags"]}


def test_a_listing_reads_the_record_and_starts_no_engine(user: dict[str, str], home: Path) -> None:
    listed = in_pipe(user, ["list"])
    assert (listed.returncode, listed.stderr) == (0, "")
    assert len(rows(listed.stdout)) == len(MEMORIES)
    assert RunDir(str(home)).engine_pid() is None


def test_a_search_starts_the_engine_and_a_listing_works_beside_it(user: dict[str, str], home: Path) -> None:
    found = in_pipe(user, ["search", "how does Mara read answers?", "--limit", "1"])
    assert (found.returncode, found.stderr) == (0, "")
    ((memory_id, _, kind, score, tags, content),) = rows(found.stdout)
    assert (kind, tags, content) == ("semantic", "people,mara", "Mara reads answers on her phone.")
    assert float(score) > 0.3
    assert RunDir(str(home)).engine_pid() is not None
    assert rows(in_pipe(user, ["list", "--tag", "mara"]).stdout)[0][0] == memory_id


async def test_a_search_answers_as_the_tool_does_with_every_filter(user: dict[str, str]) -> None:
    options = {
        "kind": ["--kind", "procedural"],
        "tags": ["--tag", "people", "--tag", "mara"],
        "metadata": ["--metadata", "line:=4"],
        "session_id": ["--session-id", "s2"],
        "agent_id": ["--agent-id", "nobody"],
        "since": ["--since", "2026-05-02", "--until", "2026-05-02"],
        "min_score": ["--min-score", "0.1"],
    }
    arguments: dict[str, dict[str, Any]] = {
        "kind": {"kind": "procedural"},
        "tags": {"tags": ["people", "mara"]},
        "metadata": {"metadata": {"line": 4}},
        "session_id": {"session_id": "s2"},
        "agent_id": {"agent_id": "nobody"},
        "since": {"since": "2026-05-02", "until": "2026-05-02"},
        "min_score": {"min_score": 0.1},
    }
    query = "when does the ferry leave?"
    server = StdioServerParameters(command=MEMOS, env=user)
    with anyio.fail_after(SECONDS):
        async with Client(server) as client:
            for name, given in options.items():
                answer = (
                    await client.call_tool("query_memory", {"query": query, **arguments[name]})
                ).structured_content
                printed = json.loads(in_pipe(user, ["search", query, *given, "--json"]).stdout)
                assert answer is not None
                assert [memory["memory_id"] for memory in printed["memories"]] == [
                    memory["memory_id"] for memory in answer["memories"]
                ], name
                assert {key: printed[key] for key in ("total", "confident", "degraded")} == {
                    key: answer[key] for key in ("total", "confident", "degraded")
                }


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--kind", "document"], 1),
        (["--tag", "people", "--tag", "mara"], 1),
        (["--metadata", '{"line": 4}'], 1),
        (["--metadata", "line=4"], 0),
        (["--session-id", "s1"], 1),
        (["--agent-id", "default"], len(MEMORIES)),
        (["--since", "2026-05-01", "--until", "2026-05-02"], 2),
        (["--limit", "3"], 3),
    ],
)
def test_a_listing_has_the_filters_of_the_tool(user: dict[str, str], options: list[str], count: int) -> None:
    answer = json.loads(in_pipe(user, ["list", *options, "--json"]).stdout)
    assert len(answer["memories"]) == count
    assert answer["has_more"] == (answer["total"] > count)


def test_a_terminal_gets_a_table_with_what_was_found_and_why(user: dict[str, str]) -> None:
    code, printed = on_terminal(user, 100, "search", "how does Mara read answers?", "--limit", "2")
    heading, first, *rest = without_styles(printed).splitlines()
    assert code == 0
    assert heading.split() == ["ID", "WHEN", "(UTC)", "KIND", "SCORE", "MEMORY"]
    assert re.match(
        r"[0-9a-f]{8}  \d{4}-\d\d-\d\d \d\d:\d\d  semantic +0\.\d\d +Mara reads answers on her phone\.", first
    )
    assert re.search(r"#people #mara · meaning 0\.\d\d, words \d+\.\d\d", rest[0])
    assert "\x1b[1mMara\x1b[0m" in printed


@pytest.mark.parametrize("columns", [30, 72, 120])
def test_no_line_of_a_table_is_wider_than_the_terminal(user: dict[str, str], ids: dict[str, str], columns: int) -> None:
    for command in (["list"], ["search", "数据库 harbour", "--limit", "6"]):
        code, printed = on_terminal(user, columns, *command)
        assert code == 0
        table = [line for line in without_styles(printed).splitlines() if not line.startswith("memos-as: ")]
        assert max(map(cells, table)) <= columns
        assert all(f"{word[:8]}  " in printed for word in (ids["运维"], ids["harbour"]))
        assert "数据库已经迁移" in without_styles(printed)


@pytest.mark.parametrize("setting", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=str)
def test_a_table_has_no_colours_and_a_simple_terminal_no_styles(user: dict[str, str], setting: dict[str, str]) -> None:
    code, printed = on_terminal({**user, **setting}, 80, "list")
    assert code == 0
    styles = set(re.findall(r"\x1b\[([\d;]*)m", printed))
    assert styles <= (set() if "TERM" in setting else {"0", "1", "2"})


def test_control_characters_of_memories_reach_neither_terminals_nor_pipes(
    user: dict[str, str], ids: dict[str, str]
) -> None:
    memory_id = ids["evil"]
    for command in (["list"], ["search", "title red markup"], ["show", memory_id]):
        terminal, pipe = without_styles(on_terminal(user, 80, *command)[1]), in_pipe(user, command).stdout
        for printed in (terminal, pipe):
            assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed)
            assert "\\x1b]0;title\\x07" in printed
        assert "second\\tline \\\\n" in pipe or command[0] == "show"


def test_json_holds_the_texts_unchanged_and_no_raw_control_characters(
    user: dict[str, str], ids: dict[str, str]
) -> None:
    memory_id = ids["evil"]
    for command in (["list"], ["search", "title red markup"], ["show", memory_id]):
        printed = in_pipe(user, [*command, "--json"]).stdout
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", printed)
        (evil,) = [one for one in json.loads(printed)["memories"] if one["memory_id"] == memory_id]
        assert (evil["content"], evil["metadata"]) == (EVIL, MEMORIES[1]["metadata"])


def test_a_long_memory_is_shown_in_full_by_the_beginning_of_its_id(user: dict[str, str], ids: dict[str, str]) -> None:
    memory_id = ids["harbour"]
    (shown,) = json.loads(in_pipe(user, ["show", memory_id[:8], "--json"]).stdout)["memories"]
    assert (shown["memory_id"], shown["content"]) == (memory_id, LONG)
    *fields, text = in_pipe(user, ["show", memory_id[:8].upper()]).stdout.removesuffix("\n").split("\n")
    assert text == LONG
    assert fields[-1] == "--"
    assert dict(field.split("\t") for field in fields[:-1])["tags"] == "harbour"
    _, printed = on_terminal(user, 80, "show", memory_id)
    assert LONG in printed


def test_an_unknown_id_is_an_error_beside_what_is_shown(user: dict[str, str], ids: dict[str, str]) -> None:
    unknown, known = "00000000-0000-4000-8000-000000000000", ids["people"]
    shown = in_pipe(user, ["show", unknown, known])
    assert shown.returncode == 1
    assert "Mara reads" in shown.stdout
    assert shown.stderr == f"memos-as: {unknown} is forgotten, expired or not in namespace default.\n"
    refused = in_pipe({**user, "MEMOS_NAMESPACE": "other"}, ["show", known[:8]])
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"memos-as: No memory of namespace other has an id that begins with {known[:8]}.\n"


def test_nothing_found_is_reported_beside_an_empty_answer(user: dict[str, str]) -> None:
    for command in (["list", "--tag", "nowhere"], ["search", "harbour", "--tag", "nowhere"]):
        done = in_pipe(user, command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "memos-as: No memory matches.\n")
        code, printed = on_terminal(user, 80, *command)
        assert (code, printed) == (0, "memos-as: No memory matches.\n")
        assert json.loads(in_pipe(user, [*command, "--json"]).stdout)["memories"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["search"],
        ["search", ""],
        ["search", "x", "--limit", "101"],
        ["search", "caf\udce9"],
        ["search", "x", "--half-life-days", "0"],
        ["list", "--as-of", "2026-05-01", "--include-superseded"],
        ["list", "--kind", "dream"],
        ["list", "--since", "yesterday"],
        ["list", "--metadata", "team"],
        ["list", "--tag", "\x1b[31m"],
        ["show"],
        ["show", "xyz"],
        ["tools"],
        ["tools", "search"],
    ],
    ids=str,
)
def test_wrong_arguments_exit_with_2_and_a_reason(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    printed = capsys.readouterr()
    assert (exited.value.code, printed.out) == (2, "")
    assert re.fullmatch(r"(memos-as [\w ]+): [^\n]+; see \1 --help\n", printed.err)
    assert "\x1b" not in printed.err


@pytest.mark.parametrize("command", [["list"], ["search", "harbour"], ["show"], ["--help"], ["doctor"]], ids=str)
def test_a_pipe_that_is_closed_early_ends_the_command_without_a_message(
    user: dict[str, str], ids: dict[str, str], command: list[str]
) -> None:
    arguments = [*command, ids["harbour"]] if command == ["show"] else command
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as closed:
        done = subprocess.run(
            [MEMOS, *arguments], env=user, stdout=closed, stderr=subprocess.PIPE, timeout=SECONDS, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["status"]], ids=str)
def test_a_full_disk_is_reported(user: dict[str, str], command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [MEMOS, *command], env=user, stdout=full, stderr=subprocess.PIPE, timeout=SECONDS, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == f"memos-as: The output cannot be written: {os.strerror(errno.ENOSPC)}.\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_without_unicode_gets_escapes_and_valid_json(user: dict[str, str], encoding: str) -> None:
    poor = {**user, "PYTHONIOENCODING": encoding}
    listed = in_pipe(poor, ["list", "--tag", "运维"])
    assert (listed.returncode, "\\u6570" in listed.stdout) == (0, True)
    answer = json.loads(in_pipe(poor, ["list", "--tag", "运维", "--json"]).stdout)
    assert answer["memories"][0]["content"] == MEMORIES[2]["content"]


def test_ctrl_c_ends_a_search_that_waits_for_the_engine(user: dict[str, str], home: Path) -> None:
    assert in_pipe(user, ["search", "harbour"]).returncode == 0
    pid = RunDir(str(home)).engine_pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with Terminal(user) as terminal:
            process = psutil.Process(terminal.start("search", "harbour").pid)
            wait_for_child(process)
            terminal.press("\x03")
            assert terminal.finish() == 130
            assert terminal.printed == "^C"
    finally:
        os.kill(pid, signal.SIGCONT)
    assert in_pipe(user, ["search", "harbour"]).returncode == 0


def wait_for_child(process: psutil.Process) -> None:
    """Wait until the process has started its bridge."""
    deadline = time.monotonic() + SECONDS
    while not process.children():
        assert process.is_running()
        assert time.monotonic() < deadline


@pytest.mark.parametrize("command", [["list"], ["search", "harbour"], ["status"]], ids=str)
def test_ctrl_c_during_the_start_ends_a_command_without_a_traceback(
    user: dict[str, str], tmp_path: Path, command: list[str]
) -> None:
    """A module that the program imports first interrupts it."""
    (tmp_path / "pydantic_settings.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = in_pipe({**user, "PYTHONPATH": str(tmp_path)}, command)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_engine_that_cannot_be_reached_is_one_message(user: dict[str, str]) -> None:
    environment = {**user, "MEMOS_HOME": "/dev/null/home"}
    for command in (["search", "harbour"], ["list"]):
        done = in_pipe(environment, command)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("memos-as: ")
        assert "Set MEMOS_HOME" in done.stderr
        assert "Traceback" not in done.stderr
