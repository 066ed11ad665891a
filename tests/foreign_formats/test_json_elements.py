"""A JSON file is read element by element, with the same values as by `json.loads`."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.foreign_formats import json_elements
from memos_mcp.foreign_formats.json_elements import elements, records
from tests.foreign_formats.damage import values


class OneByteAtATime(BytesIO):
    """A stream that gives one byte for each read, as a slow pipe may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 1, 1))


@given(st.lists(values, max_size=5), st.sampled_from([None, 1, "\t"]))
def test_a_list_is_read_as_json_loads_reads_it(written: list[Any], indent: int | str | None) -> None:
    text = json.dumps(written, indent=indent)
    read = [value for _, _, value in elements(OneByteAtATime(text.encode()))]
    assert json.dumps(read) == json.dumps(json.loads(text))
    assert json.dumps([value for _, _, value in records(BytesIO(text.encode()))]) == json.dumps(json.loads(text))


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), values, min_size=1))
def test_the_lists_of_an_object_are_read_by_key(written: dict[str, Any]) -> None:
    written["a"] = [1, *written]
    expected = [
        (key, number, value)
        for key, part in written.items()
        if key in {"a", "b"} and isinstance(part, list)
        for number, value in enumerate(part, start=1)
    ]
    read = list(elements(BytesIO(json.dumps(written, ensure_ascii=False).encode("utf-8", "surrogatepass")), "a", "b"))
    assert json.dumps(read) == json.dumps(expected)


@given(st.binary(max_size=60))
def test_other_bytes_are_refused_or_read(data: bytes) -> None:
    with suppress(Invalid):
        list(elements(BytesIO(data), "a"))
    with suppress(Invalid):
        list(records(BytesIO(data)))


def test_a_byte_order_mark_and_an_unpaired_surrogate_are_read() -> None:
    data = b'\xef\xbb\xbf["\\ud83d", "caf\xe9", "\\ud83d\\ude00"]'
    assert [value for _, _, value in elements(BytesIO(data))] == ["\ud83d", "caf\udce9", "\U0001f600"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "a list or an object is expected at character 1"),
        (b"nonsense", "a list or an object is expected at character 1"),
        (b'[{"a": 1}, {"b": ]', "Expecting value at character 18"),
        (b'[{"a": 1}', "a comma or the end of the list is expected at character 10"),
        (b'[{"a": "never closed', "Unterminated string"),
        (b"[1] 2", "something follows its end, at character 5"),
        (b'{"x": [1]}', "an object without any of these lists: memories, results"),
        (b'{"memories": {}}', "an object without any of these lists"),
        (b'{"memories": [1], 7: 1}', "a name is expected before"),
        (b"[" + b"9" * 5_000 + b"]", "a number of too many digits"),
        (b"[" * 200_000, "nested too deep"),
    ],
)
def test_what_is_no_json_is_refused_with_the_position(data: bytes, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        list(elements(BytesIO(data), "memories", "results"))
    assert message in str(refused.value)


def test_the_elements_before_an_error_are_read() -> None:
    read = elements(BytesIO(b'[{"a": 1}, nonsense'))
    assert next(read).value == {"a": 1}
    with pytest.raises(Invalid, match="Expecting value at character 12"):
        next(read)


def test_a_value_of_any_length_is_refused_before_memory_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_elements, "MAX_VALUE_CHARS", 1_000_000)
    with pytest.raises(Invalid, match="more than 1,000,000 characters"):
        list(elements(BytesIO(b'["' + b"x" * 4_000_000 + b'"]')))
