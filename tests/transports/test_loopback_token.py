"""The token that a server on loopback makes for itself."""

import os
from pathlib import Path
from subprocess import run

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.services.access_tokens import is_token
from memos_mcp.transports.loopback_token import header_of_file, loopback_token
from tests.transports.test_http import call, http_client, post

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "http-token"


def test_the_first_start_makes_a_token_that_only_its_owner_can_read(path: Path) -> None:
    umask = os.umask(0)
    try:
        token = loopback_token(path.parent)
    finally:
        os.umask(umask)
    assert is_token(token)
    assert path.read_text() == f"{token}\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_next_start_takes_the_same_token(path: Path) -> None:
    assert loopback_token(path.parent) == loopback_token(path.parent)


def test_a_home_that_does_not_exist_yet_is_made_for_its_owner_only(tmp_path: Path) -> None:
    assert is_token(loopback_token(tmp_path / "new" / "home"))
    assert (tmp_path / "new" / "home").stat().st_mode & 0o077 == 0


def test_an_operators_own_token_is_taken(path: Path) -> None:
    path.write_text("t" * 32)
    path.chmod(0o600)
    assert loopback_token(path.parent) == "t" * 32


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_that_was_open_to_others_is_refused(path: Path, mode: int) -> None:
    token = loopback_token(path.parent)
    path.chmod(mode)
    with pytest.raises(Invalid, match=f"was open to other users .mode {mode:04o}.*Remove it") as refusal:
        loopback_token(path.parent)
    assert token not in str(refusal.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused(path: Path) -> None:
    loopback_token(path.parent)
    os.chown(path, 12_345, 12_345)
    with pytest.raises(Invalid, match="belongs to another user"):
        loopback_token(path.parent)


@pytest.mark.parametrize("content", ["", "\n", "short", "two words that are longer than that", "ü" * 40, "t" * 9_000])
def test_a_file_without_a_token_is_refused_and_not_replaced(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(Invalid, match="has no token"):
        loopback_token(path.parent)
    assert path.read_text(encoding="utf-8") == content


def test_what_is_no_file_of_its_own_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("t" * 32)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Invalid, match="cannot be used"):
        loopback_token(path.parent)
    path.unlink()
    os.mkfifo(path, 0o600)
    with pytest.raises(Invalid, match="is no file"):
        loopback_token(path.parent)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(Invalid, match="is no file"):
        loopback_token(path.parent)


def test_a_shell_makes_the_header_of_the_file(tmp_path: Path) -> None:
    home = tmp_path / "it's $HOME of `me`"
    token = loopback_token(home)
    printed = run(["sh", "-c", f"printf %s {header_of_file(home)}"], capture_output=True, check=True, text=True)
    assert printed.stdout == f"Authorization: Bearer {token}"


async def test_the_servers_own_token_is_admitted(tmp_path: Path) -> None:
    async with http_client(home=tmp_path) as client:
        assert (await post(client, call())).status_code == 401
        token = loopback_token(tmp_path)
        assert (await post(client, call(), authorization=f"Bearer {token}")).status_code == 200
