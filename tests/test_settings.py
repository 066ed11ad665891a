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
