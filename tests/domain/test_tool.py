from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import FIELDS
from memos_mcp.domain.tool import NewTool, Tool, ToolFilter, check_endpoint, document, entry, spoken, where, wording


def tool(name: str = "tool", schema: dict[str, Any] | None = None, capabilities: Sequence[str] = ()) -> Tool:
    return Tool(UUID(int=1), "here", name, name, "Does it.", "https://host/", schema, None, capabilities, 1)


@pytest.mark.parametrize(
    ("identifier", "words"),
    [
        ("getUser_by-ID", "getUser_by-ID get User by ID"),
        ("HTTPServerError", "HTTPServerError HTTP Server Error"),
        ("list_files", "list_files list files"),
        ("github.issues/create:v2", "github.issues/create:v2 github issues create v2"),
        ("oauth2Token", "oauth2Token oauth2 Token"),
        ("weather", "weather"),
        ("Send an e-mail", "Send an e-mail Send an e mail"),
        ("___", "___ "),
    ],
)
def test_an_identifier_is_spoken_as_itself_and_its_words(identifier: str, words: str) -> None:
    assert spoken(identifier).split() == words.split()


@given(st.text(max_size=40))
def test_speaking_loses_no_letter_and_no_digit(identifier: str) -> None:
    said = spoken(identifier)

    assert said.startswith(identifier)
    rest = said[len(identifier) :]
    letters = [character for character in identifier if character.isalnum()]
    assert not rest or [character for character in rest if character.isalnum()] == letters


FORECAST = {
    "title": "Weather server",
    "description": "Forecasts for farmers",
    "type": "object",
    "properties": {
        "zipCode": {"type": "string", "description": "Where to look"},
        "days": {"type": "integer"},
        "units": {"anyOf": [{"type": "object", "properties": {"windSpeed": {"description": "Knots or km/h"}}}]},
    },
}


def words_of(schema: dict[str, Any] | None) -> list[str]:
    """Return the lines that a schema adds to what a tool is found by."""
    name, *lines = wording(tool("tool", schema), "").split("\n")
    assert name == document(tool())
    return lines


def test_a_document_holds_names_and_description_in_words_and_no_parameters() -> None:
    described = Tool(
        UUID(int=1), "here", "wx.getForecast", "Forecast", "Tells it.", "https://h/", FORECAST, None, (), 1
    )

    assert document(described) == "Forecast. wx.getForecast wx get Forecast: Tells it."


def test_a_name_that_is_also_the_id_is_said_once() -> None:
    assert document(tool()) == "tool: Does it."
    assert document(tool("list_files")) == "list_files list files: Does it."


def test_a_tool_is_found_by_its_document_and_the_words_of_its_schema() -> None:
    assert words_of(FORECAST) == [
        "Weather server",
        "Forecasts for farmers",
        "zipCode zip Code: Where to look",
        "days",
        "units",
        "windSpeed wind Speed: Knots or km/h",
    ]


@pytest.mark.parametrize("schema", [None, {}, {"type": "object"}, {"title": 3, "description": ["no text"]}])
def test_a_tool_whose_schema_says_nothing_is_found_by_its_document(schema: dict[str, Any] | None) -> None:
    assert words_of(schema) == []


def test_every_passage_of_a_tool_is_found_by_the_same_words() -> None:
    long = tool("tool", FORECAST)

    assert wording(long, "one passage") == wording(long, "another")


def test_a_parameter_may_have_the_name_of_a_keyword() -> None:
    inner = {"properties": {"depth": {"description": "How far"}}}
    schema = {"properties": {"default": inner, "properties": {"type": "object"}, "examples": inner}}

    assert sorted(words_of(schema)) == ["default", "depth: How far", "depth: How far", "examples", "properties"]


def test_values_in_a_schema_are_no_parameters() -> None:
    value = {"properties": {"secret": {"description": "not a parameter"}}}
    schema = {"properties": {"a": {"default": value, "examples": [value], "enum": [value], "const": value}}}

    assert words_of(schema) == ["a"]


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["properties", "items", "description", "$defs", "x"]), inner, max_size=3)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.sampled_from(["properties", "items", "description", "$defs"]), JSON, max_size=4))
def test_any_mapping_gives_a_document_and_words(schema: dict[str, Any]) -> None:
    assert document(tool("tool", schema)) == "tool: Does it."
    assert wording(tool("tool", schema), "").startswith("tool: Does it.")


@given(st.text() | st.text(max_size=30).map("https://host".__add__) | st.text(max_size=30).map("http://".__add__))
def test_any_text_is_an_endpoint_or_refused_with_a_reason(url: str) -> None:
    try:
        check_endpoint(url)
    except Invalid as refusal:
        assert str(refusal).startswith("endpoint_url")  # noqa: PT017 - a refusal is one of the two right answers
    else:
        assert url.lower().startswith(("http://", "https://"))
        assert "@" not in url.partition("://")[2].partition("/")[0].partition("?")[0].partition("#")[0]


@pytest.mark.parametrize("url", ["https://host", "http://127.0.0.1:8080/a?b=c#d", "HTTPS://[::1]/mcp", "https://h/@me"])
def test_an_http_url_is_accepted(url: str) -> None:
    check_endpoint(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/", "must start with"),
        ("https:///path", "name a host"),
        ("javascript:alert(1)", "must start with"),
        ("https://user:secret@host/", "credentials"),
        ("https://host/a b", "Percent-encode"),
        ("https://host/\nX-Header: 1", "Percent-encode"),
        ("https://host:99999/", "valid URL"),
        ("https://[::1/", "valid URL"),
        ("https://host/" + "a" * 1_024, "limit is 1,024"),
    ],
)
def test_what_is_no_endpoint_is_refused(url: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        check_endpoint(url)

    assert "secret" not in str(caught.value)


def test_schemas_are_limited_together() -> None:
    half = {"description": "d" * 16_000}
    NewTool("t", "t", "d", "https://host/", half).check()

    with pytest.raises(Invalid, match="characters together"):
        NewTool("t", "t", "d", "https://host/", half, half).check()


@given(
    st.lists(st.sampled_from("abc")), st.none() | st.lists(st.sampled_from("abc")), st.none() | st.lists(st.just("a"))
)
def test_the_index_asks_for_what_a_filter_means(
    needs: list[str], agent_has: list[str] | None, required: list[str] | None
) -> None:
    point = entry(tool(capabilities=needs), [])
    condition = where("here", ToolFilter(required, agent_has))

    held = set(point.words["required_capabilities"])
    proposed = all(set(words) <= held for words in condition.has_all.values()) and all(
        held <= set(words) for words in condition.none_but.values()
    )

    assert proposed == (set(required or ()) <= set(needs) and (agent_has is None or set(needs) <= set(agent_has)))
    assert {*condition.has_all, *condition.none_but, *point.words} <= set(FIELDS["tool"].words)
