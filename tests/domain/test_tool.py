import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.tool import NewTool, check_endpoint


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
def test_an_invalid_endpoint_is_refused(url: str, message: str) -> None:
    with pytest.raises(Invalid, match=message) as caught:
        check_endpoint(url)

    assert "secret" not in str(caught.value)


def test_a_request_schema_is_smaller_than_a_response_schema_may_be() -> None:
    large = {"type": "object", "description": "d" * 31_000}
    NewTool("t", "t", "d", "https://host/", None, large).check()

    with pytest.raises(Invalid, match="the limit is 30,000"):
        NewTool("t", "t", "d", "https://host/", large).check()
    with pytest.raises(Invalid, match="the limit is 1,000,000"):
        NewTool("t", "t", "d", "https://host/", None, {"description": "d" * 1_000_000}).check()
