"""`memos-as credential`: the real program, with secrets typed on a terminal, from pipes and from the environment."""

import json
from pathlib import Path

import pytest

from tests.cli.user_terminal import Terminal, in_pipe, on_terminal, user_of, without_styles

CANARY = "canary-8a1f27"
GITHUB = ["credential", "set", "github", "--host", "api.github.com", "--bearer"]


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    return user_of(tmp_path / "home")


def kept(user: dict[str, str]) -> dict[str, dict[str, object]]:
    path = Path(user["MEMOS_HOME"], "credentials.json")
    assert path.stat().st_mode & 0o777 == 0o600
    content: dict[str, dict[str, object]] = json.loads(path.read_text())
    return content


def test_a_secret_from_a_pipe_is_kept_and_never_shown(user: dict[str, str]) -> None:
    stored = in_pipe(user, GITHUB, input=f"{CANARY}\n")
    assert (stored.returncode, stored.stdout, stored.stderr) == (0, "", "")
    assert kept(user) == {"github": {"hosts": ["api.github.com"], "kind": "bearer", "secret": CANARY}}
    listed = in_pipe(user, ["credential", "list"])
    assert (listed.stdout, listed.stderr) == ("github\tbearer\tfile\tapi.github.com\n", "")
    as_json = json.loads(in_pipe(user, ["credential", "list", "--json"]).stdout)
    assert as_json == {
        "credentials": [
            {
                "name": "github",
                "hosts": ["api.github.com"],
                "kind": "bearer",
                "parameter": None,
                "kept_in": "file",
                "variable": "MEMOS_CREDENTIAL_GITHUB",
            }
        ]
    }


def test_a_secret_that_is_typed_is_not_echoed(user: dict[str, str]) -> None:
    with Terminal(user) as terminal:
        terminal.start(*GITHUB)
        terminal.read_until("Secret of github: ")
        terminal.press(f"{CANARY}\n")
        assert terminal.finish() == 0
        assert CANARY not in terminal.printed
    assert kept(user)["github"]["secret"] == CANARY
    code, printed = on_terminal(user, 100, "credential", "list")
    assert code == 0
    assert without_styles(printed).split() == [
        *("NAME", "SENT", "AS", "SECRET", "HOSTS"),
        *("github", "bearer", "file", "api.github.com"),
    ]


def test_ctrl_c_at_the_question_stores_nothing(user: dict[str, str]) -> None:
    with Terminal(user) as terminal:
        terminal.start(*GITHUB)
        terminal.read_until("Secret of github: ")
        terminal.press("\x03")
        assert terminal.finish() == 130
    assert not Path(user["MEMOS_HOME"]).exists()


def test_a_secret_from_the_environment_is_kept_nowhere(user: dict[str, str]) -> None:
    stored = in_pipe(user, [*GITHUB, "--from-env"])
    assert stored.returncode == 0
    assert stored.stderr == (
        "memos-as: github has no secret until MEMOS_CREDENTIAL_GITHUB is set where memos-as runs.\n"
    )
    assert in_pipe(user, ["credential", "list"]).stdout == "github\tbearer\tmissing\tapi.github.com\n"
    with_secret = {**user, "MEMOS_CREDENTIAL_GITHUB": CANARY}
    assert in_pipe(with_secret, ["credential", "list"]).stdout == (
        "github\tbearer\tMEMOS_CREDENTIAL_GITHUB\tapi.github.com\n"
    )
    assert "secret" not in kept(user)["github"]
    replaced = in_pipe(with_secret, GITHUB, input="another")
    assert "MEMOS_CREDENTIAL_GITHUB is set here, and wins" in replaced.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [*GITHUB, CANARY],
        [*GITHUB[:-1], f"--bearer={CANARY}"],
        [*GITHUB[:-1], f"--basic={CANARY}"],
        [*GITHUB, "--secret", CANARY],
        [*GITHUB[:-1], "--header", f"X-Key: {CANARY}"],
    ],
)
def test_a_secret_in_the_arguments_is_refused_and_not_repeated(user: dict[str, str], arguments: list[str]) -> None:
    refused = in_pipe(user, arguments, input="")
    assert refused.returncode in {1, 2}
    assert CANARY not in refused.stdout + refused.stderr
    assert "Leave it out: it is asked for" in refused.stderr or "The secret is asked for" in refused.stderr
    assert not Path(user["MEMOS_HOME"]).exists()


@pytest.mark.parametrize("given", ["", "\n", "two\nlines\n", f"{CANARY}\x00\n", f"{CANARY}ü\n"])
def test_a_wrong_secret_is_refused_and_not_repeated(user: dict[str, str], given: str) -> None:
    refused = in_pipe(user, GITHUB, input=given)
    assert refused.returncode == 1
    assert "Nothing was changed." in refused.stderr
    assert CANARY not in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stderr


def test_credentials_are_removed(user: dict[str, str]) -> None:
    in_pipe(user, GITHUB, input=CANARY)
    removed = in_pipe(user, ["credential", "remove", "github", "other"])
    assert (removed.returncode, removed.stderr) == (1, "memos-as: There is no credential 'other'.\n")
    assert kept(user) == {}
    empty = in_pipe(user, ["credential", "list"])
    assert (empty.returncode, empty.stdout) == (0, "")


def test_a_file_that_is_open_to_others_is_refused_by_every_command(user: dict[str, str]) -> None:
    in_pipe(user, GITHUB, input=CANARY)
    Path(user["MEMOS_HOME"], "credentials.json").chmod(0o644)
    for command in (GITHUB, ["credential", "list"], ["credential", "remove", "github"]):
        refused = in_pipe(user, command, input=CANARY)
        assert refused.returncode == 1
        assert "credentials.json is open to other users (mode 0644). Run: chmod 600" in refused.stderr
        assert CANARY not in refused.stdout + refused.stderr
