"""`memos-as token`: the real program, on a database of its own."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memos_mcp.services.access_tokens import digest_of, is_token
from tests.cli.user_terminal import in_pipe, on_terminal, user_of, without_styles

pytestmark = pytest.mark.anyio


@pytest.fixture
def user(tmp_path: Path, database_url: str) -> dict[str, str]:
    return {**user_of(tmp_path / "home"), "MEMOS_DATABASE_URL": database_url, "MEMOS_AGENT_ID": "robot"}


async def test_a_token_is_shown_once_listed_and_revoked(user: dict[str, str]) -> None:
    created = in_pipe(
        user,
        ["token", "create", "--namespace", "team", "--rights", "write,read", "--expires", "90d", "--note", "a note"],
    )
    assert created.returncode == 0
    token = created.stdout.removesuffix("\n")
    prefix = token[: len("memos_1a2b3c4d")]
    assert is_token(token)
    assert f"it is not shown again. To revoke it: memos-as token revoke {prefix}. It expires at 20" in created.stderr

    (row,) = json.loads(in_pipe(user, ["token", "list", "--json"]).stdout)["tokens"]
    expires = datetime.fromisoformat(row["expires_at"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)
    assert {name: row[name] for name in row.keys() - {"id", "created_at", "expires_at"}} == {
        "prefix": prefix,
        "namespace": "team",
        "agent_id": "robot",
        "rights": ["read", "write"],
        "state": "active",
        "revoked_at": None,
        "last_used_at": None,
        "note": "a note",
    }

    revoked = in_pipe(user, ["token", "revoke", prefix])
    assert (revoked.returncode, revoked.stderr) == (0, f"memos-as: {prefix} of namespace 'team' is revoked.\n")
    again = in_pipe(user, ["token", "revoke", row["id"]])
    assert (again.returncode, again.stderr) == (0, f"memos-as: {prefix} of namespace 'team' was revoked already.\n")

    listed = in_pipe(user, ["token", "list"])
    fields = [prefix, "revoked", "team", "robot", "read,write", row["expires_at"], "", "a note", row["id"]]
    assert listed.stdout == "\t".join(fields) + "\n"
    assert listed.stderr == ""
    code, printed = on_terminal(user, 120, "token", "list")
    assert code == 0
    heading, line = (text.split() for text in without_styles(printed).strip().splitlines())
    assert heading == ["TOKEN", "STATE", "RIGHTS", "EXPIRES", "LAST", "USED", "FOR"]
    assert [*line[:3], *line[5:]] == [prefix, "revoked", "read,write", "never", "team", "·", "robot", "·", "a", "note"]
    for shown in (listed.stdout, printed, json.dumps(row)):
        assert token not in shown
        assert digest_of(token).hex() not in shown


async def test_a_token_has_the_rights_to_read_write_and_use_tools_for_ever_by_default(user: dict[str, str]) -> None:
    in_pipe(user, ["token", "create", "--namespace", "team", "--agent", "ann"])
    (row,) = json.loads(in_pipe(user, ["token", "list", "--json"]).stdout)["tokens"]
    assert (row["agent_id"], row["rights"], row["expires_at"]) == ("ann", ["read", "write", "tools"], None)


async def test_a_token_that_does_not_exist_is_not_revoked(user: dict[str, str]) -> None:
    refused = in_pipe(user, ["token", "revoke", "memos_00000000"])
    assert (refused.returncode, refused.stderr) == (
        1,
        "memos-as: No such access token. List them: memos-as token list\n",
    )
    empty = in_pipe(user, ["token", "list"])
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "Make one: memos-as token create --namespace" in empty.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--namespace"),
        (["--namespace", ""], "is empty"),
        (["--namespace", "a", "--rights", "read,all"], "the rights are read, write, tools and admin"),
        (["--namespace", "a", "--rights", ""], "the rights are"),
        (["--namespace", "a", "--expires", "90"], "such as 90d, 12h or 30m"),
        (["--namespace", "a", "--expires", "0d"], "no time span"),
        (["--namespace", "a", "--expires", "9999d"], "up to ten years"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_opened(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    refused = in_pipe(user_of(tmp_path / "home"), ["token", "create", *arguments])
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not (tmp_path / "home").exists()
