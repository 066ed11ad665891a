import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp import __version__
from memos_mcp.ipc.handshake import IDENTITY, PREFIX, decode, encode, is_newer, request_line


@given(
    st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text() | st.integers() | st.none(), max_size=4)
)
def test_a_private_line_is_decoded_to_its_payload(payload: dict[str, object]) -> None:
    line = encode(**payload)
    assert line.startswith(PREFIX)
    assert line.index(b"\n") == len(line) - 1
    assert decode(line) == {"memos-as": 1, **payload}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"memos-as":',
        b'{"memos-as": 2, "answer": "welcome"}',
        b'{"memos-as":' + b"[" * 10_000,
        b'{"memos-as":1}{}',
        b'{"memos-as": "\xff"}',
    ],
)
def test_any_other_line_is_decoded_to_none(line: bytes) -> None:
    assert decode(line) is None


def test_a_request_names_the_scope_and_only_the_settings_that_are_set() -> None:
    settings = {
        "MEMOS_NAMESPACE": "team",
        "MEMOS_AGENT_ID": "ada",
        "MEMOS_LOG_LEVEL": "debug",
        IDENTITY[0]: "postgres://",
    }
    assert json.loads(request_line("serve", settings)) == {
        "memos-as": 1,
        "want": "serve",
        "version": __version__,
        "namespace": "team",
        "agent_id": "ada",
        "settings": {IDENTITY[0]: "postgres://"},
    }


def test_the_scope_is_the_default_one_without_settings() -> None:
    payload = decode(request_line("status", {}))
    assert payload is not None
    assert (payload["namespace"], payload["agent_id"], payload["settings"]) == ("default", "default", {})


@pytest.mark.parametrize(
    ("version", "other"),
    [("0.1.1", "0.1.0"), ("0.10.0", "0.9.9"), ("1.0", "0.9.9"), ("0.2.0rc1", "0.1.0"), ("2", "1.9")],
)
def test_versions_are_compared_by_their_numbers(version: str, other: str) -> None:
    assert is_newer(version, other)
    assert not is_newer(other, version)


@pytest.mark.parametrize("other", ["1.2", "1.2.0", "1.2.0.0", "1.2.0rc1", "1.2.0.dev4", "1.2.0.post1", "1.2.0+local.7"])
def test_suffixes_make_no_version_newer(other: str) -> None:
    assert not is_newer("1.2.0", other)
    assert not is_newer(other, "1.2.0")


@given(st.text(), st.text())
def test_two_versions_are_not_each_newer_than_the_other(version: str, other: str) -> None:
    assert not (is_newer(version, other) and is_newer(other, version))
