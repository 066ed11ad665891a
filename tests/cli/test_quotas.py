"""`memos-as quota`: the real program, on a database of its own."""

import json
from pathlib import Path

import pytest

from tests.cli.user_terminal import in_pipe, user_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def user(tmp_path: Path, database_url: str) -> dict[str, str]:
    return {**user_of(tmp_path / "home"), "MEMOS_DATABASE_URL": database_url}


async def test_limits_are_set_listed_and_unset(user: dict[str, str]) -> None:
    limits = ["--memories", "100000", "--calls-a-minute", "600"]
    assert in_pipe(user, ["quota", "set", "--namespace", "team", *limits]).stderr == (
        "memos-as: The limits of namespace 'team': memories 100,000, calls_a_minute 600.\n"
    )
    (row,) = json.loads(in_pipe(user, ["quota", "list", "--json"]).stdout)["quotas"]
    assert row["holds"] == {"memories": 0, "bytes": 0, "tools": 0}
    assert row["limits"]["memories"] == 100_000
    assert in_pipe(user, ["quota", "list"]).stdout == "team\t0/100000\t\t\t600\t\t\n"
    assert in_pipe(user, ["quota", "unset", "--namespace", "team"]).returncode == 0
    again = in_pipe(user, ["quota", "unset", "--namespace", "team"])
    assert (again.returncode, "has no limits of its own" in again.stderr) == (1, True)
    nothing = in_pipe(user, ["quota", "set", "--namespace", "team"])
    assert (nothing.returncode, "Name a limit to set" in nothing.stderr) == (1, True)
