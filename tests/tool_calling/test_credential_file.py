"""The operator's credentials: bound to hosts, in a private file or in the environment."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from memos_mcp.tool_calling.credential_file import (
    Binding,
    CredentialFile,
    WrongCredential,
    check_binding,
    check_secret,
)
from memos_mcp.tool_calling.credentials import CredentialKind
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.private_file import FileUnusable

CANARY = "canary-8a1f"
GITHUB = Binding("github", ("api.github.com",), "bearer")


def opened(path: Path, environment: Mapping[str, str] | None = None) -> CredentialFile:
    secrets = {name: SecretStr(value) for name, value in (environment or {}).items()}
    return CredentialFile(path / "credentials.json", secrets.get)


def test_a_credential_is_read_as_it_was_stored(tmp_path: Path) -> None:
    opened(tmp_path).put(Binding("maps", ("a.example", "b.example:8443"), "header", "X-Key"), SecretStr(CANARY))
    found = opened(tmp_path).get("maps")
    assert found is not None
    assert (found.hosts, found.kind, found.parameter) == (("a.example", "b.example:8443"), "header", "X-Key")
    assert found.secret.get_secret_value() == CANARY
    assert CANARY not in repr(found)
    assert opened(tmp_path).get("other") is None


def test_the_listing_has_no_secret(tmp_path: Path) -> None:
    opened(tmp_path).put(GITHUB, SecretStr(CANARY))
    (listed,) = opened(tmp_path).bindings()
    assert (listed.name, listed.kept_in, listed.variable) == ("github", "file", "MEMOS_CREDENTIAL_GITHUB")
    assert CANARY not in repr(listed)


def test_the_secret_of_the_environment_wins(tmp_path: Path) -> None:
    opened(tmp_path).put(GITHUB, SecretStr("of the file"))
    file = opened(tmp_path, {"MEMOS_CREDENTIAL_GITHUB": CANARY})
    found = file.get("github")
    assert found is not None
    assert found.secret.get_secret_value() == CANARY
    assert [listed.kept_in for listed in file.bindings()] == ["environment"]


def test_a_credential_without_a_secret_names_its_variable(tmp_path: Path) -> None:
    opened(tmp_path).put(Binding("git-hub.com", ("github.com",), "bearer"), None)
    assert "secret" not in json.loads((tmp_path / "credentials.json").read_text())["git-hub.com"]
    with pytest.raises(CallFailed, match="MEMOS_CREDENTIAL_GIT_HUB_COM"):
        opened(tmp_path).get("git-hub.com")
    assert [listed.kept_in for listed in opened(tmp_path).bindings()] == [None]


def test_two_names_with_one_variable_are_refused(tmp_path: Path) -> None:
    opened(tmp_path).put(Binding("a.b", ("one.example",), "bearer"), None)
    with pytest.raises(WrongCredential, match=r"a-b and a\.b would share"):
        opened(tmp_path).put(Binding("a-b", ("two.example",), "bearer"), None)


def test_a_removed_credential_is_unknown(tmp_path: Path) -> None:
    opened(tmp_path).put(GITHUB, SecretStr(CANARY))
    assert opened(tmp_path).remove("github")
    assert not opened(tmp_path).remove("github")
    assert opened(tmp_path).get("github") is None
    assert CANARY not in (tmp_path / "credentials.json").read_text()


@pytest.mark.parametrize(
    "entry",
    [
        {"hosts": [], "kind": "bearer", "secret": CANARY},
        {"hosts": ["a.example"], "kind": CANARY, "secret": CANARY},
        {"hosts": ["a.example"], "kind": "header", "secret": CANARY},
        {"hosts": ["a.example"], "kind": "bearer", "parameter": "X", "secret": CANARY},
        {"hosts": ["a.example"], "kind": "bearer", "secret": [CANARY]},
        {"hosts": ["a.example"], "kind": "bearer", "token": CANARY},
        {"kind": "bearer", "secret": CANARY},
        CANARY,
    ],
)
def test_a_wrong_entry_is_reported_without_its_values(tmp_path: Path, entry: object) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps({"github": entry}))
    path.chmod(0o600)
    with pytest.raises(FileUnusable, match="at github") as listing:
        opened(tmp_path).bindings()
    with pytest.raises(CallFailed, match="at github") as getting:
        opened(tmp_path).get("github")
    assert CANARY not in f"{listing.value}{getting.value}"


def test_a_file_that_is_open_to_others_makes_its_credentials_unusable(tmp_path: Path) -> None:
    opened(tmp_path).put(GITHUB, SecretStr(CANARY))
    (tmp_path / "credentials.json").chmod(0o644)
    with pytest.raises(CallFailed, match="chmod 600"):
        opened(tmp_path).get("github")


@pytest.mark.parametrize(
    ("binding", "problem"),
    [
        (Binding("", ("a.example",), "bearer"), "name of a credential"),
        (Binding("a b", ("a.example",), "bearer"), "name of a credential"),
        (Binding("../x", ("a.example",), "bearer"), "name of a credential"),
        (Binding("x", ("https://a.example",), "bearer"), "is not a host"),
        (Binding("x", ("a.example/path",), "bearer"), "is not a host"),
        (Binding("x", ("user@a.example",), "bearer"), "is not a host"),
        (Binding("x", ("a.example:port",), "bearer"), "is not a host"),
        (Binding("x", ("a.example",), "header", f"X-Key: {CANARY}"), "name of a header only"),
        (Binding("x", ("a.example",), "header", "Host"), "name of a header only"),
        (Binding("x", ("a.example",), "query", "a\nb"), "name of a parameter only"),
    ],
)
def test_a_wrong_binding_is_refused(binding: Binding, problem: str) -> None:
    with pytest.raises(WrongCredential, match=problem) as refused:
        check_binding(binding)
    assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("bearer", ""),
        ("bearer", "  "),
        ("bearer", f"{CANARY}\r\nX-Other: 1"),
        ("header", f"{CANARY}é"),
        ("basic", CANARY),
        ("query", f"{CANARY}\x00"),
        ("query", CANARY * 10_000),
    ],
)
def test_a_secret_that_no_request_can_carry_is_refused_without_showing_it(kind: CredentialKind, secret: str) -> None:
    with pytest.raises(WrongCredential, match="Nothing was changed") as refused:
        check_secret(kind, SecretStr(secret))
    assert CANARY not in str(refused.value)
