"""How settings are read from the environment."""

import os
from pathlib import Path

import pytest

from memos_mcp.settings import Settings

pytestmark = pytest.mark.usefixtures("nothing_set")


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"MEMOS_{name.upper()}", "")
    assert Settings() == defaults


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MEMOS_QDRANT_SHARDS", "0"),
        ("MEMOS_QDRANT_REPLICAS", "-1"),
        ("MEMOS_QDRANT_WRITE_CONSISTENCY", "0"),
        ("MEMOS_QDRANT_QUANTIZATION", "int4"),
        ("MEMOS_QDRANT_ON_DISK", "perhaps"),
        ("MEMOS_QDRANT_TIMEOUT", "0"),
        ("MEMOS_QDRANT_TIMEOUT", "61"),
        ("MEMOS_QDRANT_TIMEOUT", "2.5"),
    ],
)
def test_a_setting_of_qdrant_out_of_its_range_is_rejected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=variable.removeprefix("MEMOS_").lower()):
        Settings()


def test_no_more_replicas_confirm_a_write_than_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMOS_QDRANT_WRITE_CONSISTENCY", "3")
    assert Settings().qdrant_write_consistency == 3
    monkeypatch.setenv("MEMOS_QDRANT_REPLICAS", "2")
    with pytest.raises(ValueError, match="only 2 replicas can confirm a write"):
        Settings()
    monkeypatch.setenv("MEMOS_QDRANT_REPLICAS", "3")
    assert Settings().qdrant_write_consistency == 3


def test_a_home_may_begin_with_a_tilde(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMOS_HOME", "~/memory")
    assert Settings().home == tmp_path / "memory"


def test_a_relative_home_is_resolved_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMOS_HOME", "memory")
    monkeypatch.chdir(tmp_path)
    home = Settings().home
    monkeypatch.chdir("/")
    assert home == tmp_path / "memory"


def test_a_home_of_an_unknown_user_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMOS_HOME", "~nobody-of-that-name/memory")
    with pytest.raises(ValueError, match="give a full path"):
        Settings()


def test_a_home_must_be_given_when_the_user_has_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMOS_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(ValueError, match="give a full path"):
        Settings()


def test_a_relative_home_needs_an_existing_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "deleted").mkdir()
    monkeypatch.chdir(tmp_path / "deleted")
    (tmp_path / "deleted").rmdir()
    monkeypatch.setenv("MEMOS_HOME", "memory")
    with pytest.raises(ValueError, match="give a full path"):
        Settings()


ISSUER = {
    "MEMOS_OIDC_ISSUER": "https://login.example.com/realms/team",
    "MEMOS_OIDC_AUDIENCE": "memos",
    "MEMOS_OIDC_NAMESPACE_CLAIM": "tenant",
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"MEMOS_OIDC_ISSUER": "http://login.example.com"}, "must begin with https://"),
        ({"MEMOS_OIDC_ISSUER": "http://127.0.0.1.example.com"}, "must begin with https://"),
        ({"MEMOS_OIDC_ISSUER": "file:///etc/passwd"}, "must be the URL of a host"),
        ({"MEMOS_OIDC_ISSUER": "login.example.com"}, "must be the URL of a host"),
        ({"MEMOS_OIDC_ISSUER": "https://user@login.example.com"}, "must be the URL of a host"),
        ({"MEMOS_OIDC_ISSUER": "https://login.example.com?x"}, "must be the URL of a host"),
        ({"MEMOS_RESOURCE_URL": "http://memos.example.com/mcp"}, "must begin with https://"),
        ({"MEMOS_RESOURCE_URL": 'https://memos.example.com/"'}, "must be the URL of a host"),
        ({"MEMOS_OIDC_AUDIENCE": ""}, "needs MEMOS_OIDC_AUDIENCE"),
        ({"MEMOS_OIDC_NAMESPACE_CLAIM": ""}, "needs MEMOS_OIDC_NAMESPACE_CLAIM or MEMOS_OIDC_NAMESPACE"),
        ({"MEMOS_OIDC_NAMESPACE": "team"}, "and not both"),
        ({"MEMOS_AUTH": "none"}, "protects nothing with MEMOS_AUTH=none"),
        ({"MEMOS_OIDC_ALGORITHMS": "none"}, "Input should be 'RS256'"),
        ({"MEMOS_OIDC_ALGORITHMS": "RS256,HS256"}, "Input should be 'RS256'"),
        ({"MEMOS_OIDC_ALGORITHMS": ","}, "at least 1 item"),
    ],
)
def test_an_issuer_that_would_protect_nothing_is_rejected(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], message: str
) -> None:
    for name, value in ISSUER.items():
        monkeypatch.setenv(name, value)
    assert Settings().oidc_issuer == ISSUER["MEMOS_OIDC_ISSUER"]
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        Settings()


def test_an_issuer_on_loopback_needs_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ISSUER, "MEMOS_OIDC_ALGORITHMS": "ES256, EdDSA"}.items():
        monkeypatch.setenv(name, value)
    for url in ("http://127.0.0.1:8080", "http://localhost:8080/realms/team", "http://[::1]:8080/"):
        monkeypatch.setenv("MEMOS_OIDC_ISSUER", url)
        assert Settings().oidc_issuer == url
    assert Settings().oidc_algorithms == ("ES256", "EdDSA")
