"""The examples that the help of the commands shows."""

import argparse
import shlex
from collections.abc import Iterator

import pytest

from memos_mcp.cli.command_examples import EXAMPLES
from memos_mcp.cli.command_line import main, parser


def commands(of: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[str]:
    groups = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(path)
    for group in groups:
        for name, command in group.choices.items():
            yield from commands(command, (*path, name))


def test_every_command_has_an_example() -> None:
    assert set(EXAMPLES) == set(commands(parser()))


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_is_shown_by_the_help_and_can_be_parsed(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert f"example:\n  {EXAMPLES[command]}\n" in capsys.readouterr().out
    words = shlex.split(EXAMPLES[command].rpartition("| ")[2].partition(" > ")[0])
    assert words[: 1 + len(command.split())] == ["memos-as", *command.split()]
    assert parser().parse_args(words[1:]).choose
