"""The lines of a file are stored in batches of bounded length and size."""

from memos_mcp.cli.importing import BATCH_BYTES, BATCH_LINES, _batches


def test_a_batch_has_a_bounded_number_of_lines() -> None:
    lines = [b"{}\n"] * (2 * BATCH_LINES + 1)

    batches = list(_batches(lines))

    assert [len(batch) for batch in batches] == [BATCH_LINES, BATCH_LINES, 1]
    assert [number for batch in batches for number, _ in batch] == list(range(1, len(lines) + 1))


def test_a_batch_of_long_lines_has_fewer() -> None:
    long = b"x" * (BATCH_BYTES // 2 + 1)
    assert [len(batch) for batch in _batches([long, long, long, b"short\n"])] == [2, 2]


def test_an_empty_file_has_no_batch() -> None:
    assert list(_batches([])) == []
