"""What the environment says, and what is made of it."""

import os
from pathlib import Path

import pytest

from memos_mcp.settings import Settings

pytestmark = pytest.mark.usefixtures("nothing_set")


def test_an_empty_variable_counts_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings()
    for name in Settings.model_fields:
        monkeypatch.setenv(f"MEMOS_{name.upper()}", "")
    assert Settings() == defaults


def test_a_home_may_begin_with_the_users_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MEMOS_HOME", "~/memory")
    assert Settings().home == tmp_path / "memory"


def test_a_relative_home_is_meant_from_the_folder_of_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMOS_HOME", "memory")
    monkeypatch.chdir(tmp_path)
    home = Settings().home
    monkeypatch.chdir("/")
    assert home == tmp_path / "memory"


def test_a_home_of_a_user_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMOS_HOME", "~nobody-of-that-name/memory")
    with pytest.raises(ValueError, match="give a full path"):
        Settings()


def test_without_a_users_folder_a_home_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMOS_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54_321)
    with pytest.raises(ValueError, match="give a full path"):
        Settings()


def test_a_relative_home_needs_a_working_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    monkeypatch.setenv("MEMOS_HOME", "memory")
    with pytest.raises(ValueError, match="give a full path"):
        Settings()
