import os
import time
from pathlib import Path

from memos_mcp.hooks.shown_memories import KEEP_SECONDS, ShownMemories


def test_what_a_session_was_shown_is_kept_apart_from_other_sessions(tmp_path: Path) -> None:
    ShownMemories(str(tmp_path), "one").add({"a"})
    ShownMemories(str(tmp_path), "one").add({"b"})
    assert ShownMemories(str(tmp_path), "one").read() == {"a", "b"}
    assert ShownMemories(str(tmp_path), "two").read() == set()


def test_the_files_are_private_and_do_not_name_the_session(tmp_path: Path) -> None:
    ShownMemories(str(tmp_path), "../../secret").add({"a"})
    (file,) = (tmp_path / "hooks").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert "secret" not in file.name


def test_a_damaged_file_counts_as_nothing_shown(tmp_path: Path) -> None:
    shown = ShownMemories(str(tmp_path), "one")
    shown.add({"a"})
    (file,) = (tmp_path / "hooks").iterdir()
    file.write_text("[")
    assert shown.read() == set()


def test_forgetting_also_removes_the_files_of_sessions_without_an_event_for_long(tmp_path: Path) -> None:
    old, new, ended = (ShownMemories(str(tmp_path), name) for name in ("old", "new", "ended"))
    old.add({"a"})
    (file,) = (tmp_path / "hooks").iterdir()
    then = time.time() - KEEP_SECONDS - 60
    os.utime(file, (then, then))
    new.add({"b"})
    ended.add({"c"})
    ended.forget()
    assert (old.read(), new.read(), ended.read()) == (set(), {"b"}, set())
