import json
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.ipc import line_buffer
from memos_mcp.ipc.line_buffer import KEPT_BYTES, MAX_LINE_BYTES, LineBuffer, recovered_id, refused_length

CHUNK_BYTES = 64 * 1024
LIMIT, KEPT = 20, 6
"""What the properties are checked with, so that short lines are long ones."""


def lines_of(chunks: Sequence[bytes]) -> list[tuple[bytes, bool]]:
    lines = LineBuffer()
    return [line for chunk in chunks for line in lines.feed(chunk)] + lines.end()


def expected(stream: bytes) -> Iterator[tuple[bytes, bool]]:
    for line in stream.split(b"\n"):
        if len(line) > LIMIT:
            yield (line[:KEPT] + line[-KEPT:]).strip(b" \t\r"), False
        elif stripped := line.strip(b" \t\r"):
            yield stripped, True


streams = st.lists(st.sampled_from([b"\n", b"\r\n", b" ", b"\t", b"a", b"bc", b"\xff", b"0123456789"])).map(b"".join)


@given(streams, st.lists(st.integers(0, 200)))
def test_however_bytes_are_cut_into_chunks_the_lines_are_the_same(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(places)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_buffer, "MAX_LINE_BYTES", LIMIT)
        patch.setattr(line_buffer, "KEPT_BYTES", KEPT)
        assert lines_of(chunks) == lines_of([stream]) == list(expected(stream))


def test_a_line_is_there_as_soon_as_it_is_complete() -> None:
    lines = LineBuffer()
    assert lines.feed(b'{"id"') == []
    assert lines.feed(b":1}\r\n\n \t\r\n{}\n[") == [(b'{"id":1}', True), (b"{}", True)]
    assert lines.end() == [(b"[", True)]
    assert lines.end() == []


def test_a_line_of_the_greatest_length_is_whole_and_one_more_byte_is_too_many() -> None:
    line = b"x" * MAX_LINE_BYTES
    chunks = [line[start : start + CHUNK_BYTES] for start in range(0, len(line), CHUNK_BYTES)]
    assert lines_of([*chunks, b"\n"]) == [(line, True)]
    assert lines_of([*chunks, b"y", b"\n", b"next\n"]) == [(b"x" * (2 * KEPT_BYTES - 1) + b"y", False), (b"next", True)]


def test_a_line_that_is_too_long_is_not_passed_over_for_its_blank_ends() -> None:
    blank = b" " * MAX_LINE_BYTES
    assert lines_of([blank, b"\n", blank, b"{}", blank]) == [(b"", False)]


def test_of_a_line_that_is_too_long_no_more_than_the_limit_is_ever_held() -> None:
    lines = LineBuffer()
    chunk = b"x" * CHUNK_BYTES
    tracemalloc.start()
    try:
        for _ in range(3 * MAX_LINE_BYTES // CHUNK_BYTES):
            assert lines.feed(chunk) == []
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4 * KEPT_BYTES
    assert most < 1.25 * MAX_LINE_BYTES  # a growing bytearray keeps an eighth in reserve


def test_tiny_chunks_hold_no_more_than_their_bytes() -> None:
    lines = LineBuffer()
    tracemalloc.start()
    try:
        for _ in range(100_000):
            lines.feed(b"xy")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1.25 * 200_000


def test_a_long_line_takes_as_long_as_its_bytes() -> None:
    chunks = [b"x" * CHUNK_BYTES] * (MAX_LINE_BYTES // CHUNK_BYTES)
    started = time.process_time()
    assert lines_of(chunks)[0][1]
    assert time.process_time() - started < 1


def test_a_message_that_is_too_long_is_refused_under_its_id() -> None:
    message = "The message is longer than 16 MiB. Send less in one call."
    begin = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"content":"xxx'
    assert refused_length(begin) == (7, message)
    assert refused_length(b'{"params":{"content":"x' + b'x"},"jsonrpc":"2.0","id":"seven"}') == ("seven", message)
    assert refused_length(b"\xff\xff") == (None, message)
    assert refused_length(b"") == (None, message)


@pytest.mark.parametrize(
    ("text", "balanced", "request_id"),
    [
        ('{"id":7,"method":"x","params":{', False, 7),
        ('{"method":"x","id":"a","params":{"b":1', False, "a"),
        ('{"params":{broken},"jsonrpc":"2.0","id":7}', True, 7),
        ('{"params":{broken,"a":{"id":5}', False, None),
        ('{"id":7,"result":{}}', True, None),
        ('{"id":true,"method":"x"}', True, None),
        ('{"id":1.5,"method":"x"}', True, None),
        (r'{"id":"\ud83d","method":"x"}', True, None),
        (json.dumps([{"id": 7}]), True, None),
        ('{"id":%s,"method":' % ("9" * 5_000), False, None),
        ("garbage", True, None),
        ("", True, None),
    ],
)
def test_an_id_is_recovered_from_a_broken_message_if_it_is_beyond_doubt(
    text: str, balanced: bool, request_id: str | int | None
) -> None:
    assert recovered_id(text, balanced=balanced) == request_id
