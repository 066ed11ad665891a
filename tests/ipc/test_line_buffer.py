import json
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.ipc import line_buffer
from memos_mcp.ipc.line_buffer import (
    KEPT_BYTES,
    MAX_LINE_BYTES,
    LineBuffer,
    id_at_either_end,
    length_error,
    read_leniently,
    request_id,
)

CHUNK_BYTES = 64 * 1024
LIMIT, KEPT = 20, 6
"""Limits for the property tests, small enough for short lines to exceed them."""


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
def test_the_lines_do_not_depend_on_the_chunks(stream: bytes, cuts: list[int]) -> None:
    offsets = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(offsets)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_buffer, "MAX_LINE_BYTES", LIMIT)
        patch.setattr(line_buffer, "KEPT_BYTES", KEPT)
        assert lines_of(chunks) == lines_of([stream]) == list(expected(stream))


def test_a_line_is_returned_when_it_is_complete() -> None:
    lines = LineBuffer()
    assert lines.feed(b'{"id"') == []
    assert lines.feed(b":1}\r\n\n \t\r\n{}\n[") == [(b'{"id":1}', True), (b"{}", True)]
    assert lines.end() == [(b"[", True)]
    assert lines.end() == []


def test_a_line_of_the_maximum_length_is_whole_and_a_longer_one_is_cut() -> None:
    line = b"x" * MAX_LINE_BYTES
    chunks = [line[start : start + CHUNK_BYTES] for start in range(0, len(line), CHUNK_BYTES)]
    assert lines_of([*chunks, b"\n"]) == [(line, True)]
    assert lines_of([*chunks, b"y", b"\n", b"next\n"]) == [(b"x" * (2 * KEPT_BYTES - 1) + b"y", False), (b"next", True)]


def test_a_line_that_is_too_long_is_not_dropped_for_its_blank_ends() -> None:
    blank = b" " * MAX_LINE_BYTES
    assert lines_of([blank, b"\n", blank, b"{}", blank]) == [(b"", False)]


def test_no_more_than_the_limit_of_a_line_is_buffered() -> None:
    lines = LineBuffer()
    chunk = b"x" * CHUNK_BYTES
    tracemalloc.start()
    try:
        for _ in range(3 * MAX_LINE_BYTES // CHUNK_BYTES):
            assert lines.feed(chunk) == []
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 4 * KEPT_BYTES
    assert peak < 1.25 * MAX_LINE_BYTES  # a growing bytearray keeps an eighth in reserve


def test_tiny_chunks_need_no_more_memory_than_their_bytes() -> None:
    lines = LineBuffer()
    tracemalloc.start()
    try:
        for _ in range(100_000):
            lines.feed(b"xy")
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 1.25 * 200_000


def test_a_long_line_is_read_in_linear_time() -> None:
    chunks = [b"x" * CHUNK_BYTES] * (MAX_LINE_BYTES // CHUNK_BYTES)
    started = time.process_time()
    assert lines_of(chunks)[0][1]
    assert time.process_time() - started < 1


def test_a_message_that_is_too_long_is_refused_under_its_id() -> None:
    message = "The message is longer than 16 MiB. Send less in one call."
    begin = b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"content":"xxx'
    assert length_error(begin) == (7, message)
    assert length_error(b'{"params":{"content":"x' + b'x"},"jsonrpc":"2.0","id":"seven"}') == ("seven", message)
    assert length_error(b"\xff\xff") == (None, message)
    assert length_error(b"") == (None, message)


@pytest.mark.parametrize(
    ("text", "expected_id"),
    [
        ('{"id":7,"method":"x","params":{', 7),
        ('{"method":"x","id":"a","params":{"b":1', "a"),
        ('{"params":{broken},"jsonrpc":"2.0","id":7}', 7),
        ('{"params":{broken},"id":"x\\n","jsonrpc":"2.0","method":"y"}', "x\n"),
        ('{"params":{broken,"a":{"id":5}', None),
        ('{"params":{broken,"a":{"id":5}}}', None),
        ('{"params":{broken},"id":1.5}', None),
        (r'{"id":"\ud83d","method":"x","params":{', None),
        ('{"id":%s,"method":' % ("9" * 5_000), None),
        ("garbage", None),
        ("", None),
    ],
)
def test_an_id_is_found_in_the_head_or_at_the_end_of_a_message(text: str, expected_id: str | int | None) -> None:
    assert id_at_either_end(text) == expected_id


@pytest.mark.parametrize(
    ("text", "expected_id"),
    [
        (r'{"id":7,"method":"x","params":{"a":"\ud83d"}}', 7),
        ('{"params":{"a":%s},"id":"x"}' % ("9" * 5_000), "x"),
        ('{"id":7,"result":{}}', None),
        ('{"id":7,"error":{}}', None),
        ('{"id":true,"method":"x"}', None),
        ('{"id":1.5,"method":"x"}', None),
        (r'{"id":"\ud83d","method":"x"}', None),
        ('{"id":%s,"method":"x"}' % ("9" * 5_000), None),
        (json.dumps([{"id": 7}]), None),
        ('{"id":7,"params":{broken}}', None),
        ("", None),
    ],
)
def test_the_id_of_a_request_is_read_leniently(text: str, expected_id: str | int | None) -> None:
    assert request_id(read_leniently(text)) == expected_id
