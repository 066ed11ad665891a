from typing import Any

import pytest

from memos_mcp.domain.errors import Invalid
from memos_mcp.openapi.api_tools import Choices
from tests.openapi.mapping import mapped, operation, reasons

SCHEMES = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "sid"},
    "bearer": {"type": "http", "scheme": "Bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "digest": {"type": "http", "scheme": "digest"},
    "oauth": {"type": "oauth2", "flows": {}},
}


@pytest.mark.parametrize(
    ("servers", "url"),
    [
        ([{"url": "https://a.test/v2/"}, {"url": "https://b.test"}], "https://a.test/v2/things"),
        ([{"url": "wss://a.test"}, {"url": "https://b.test"}], "https://b.test/things"),
        (
            [{"url": "https://{region}.test/{v}", "variables": {"region": {"default": "eu"}, "v": {"default": "v1"}}}],
            "https://eu.test/v1/things",
        ),
    ],
)
def test_the_first_server_of_http_is_the_address(servers: Any, url: str) -> None:
    assert operation({}, servers=servers).endpoint_url == url


def test_the_servers_of_an_operation_count_before_those_of_its_path() -> None:
    a, b = ([{"url": f"https://{name}.test"}] for name in "ab")
    api = mapped({"/x": {"servers": a, "get": {}, "put": {"servers": b}}})
    assert [tool.endpoint_url for tool in api.tools.values()] == ["https://a.test/x", "https://b.test/x"]


def test_a_relative_server_is_that_of_the_description() -> None:
    for servers in ([{"url": "../v2"}], [{"url": "/docs/v2/"}]):
        api = mapped({"/x": {"get": {}}}, Choices(address="https://a.test/docs/api/openapi.json"), servers=servers)
        assert [tool.endpoint_url for tool in api.tools.values()] == ["https://a.test/docs/v2/x"]


@pytest.mark.parametrize(
    "servers", [[], [{"url": "/v1"}], [{"url": "https://{host}"}], [{"url": "https://[::1"}], None]
)
def test_an_address_without_a_host_needs_a_base_url(servers: Any) -> None:
    api = mapped({"/x": {"get": {}}}, servers=servers)
    assert not api.tools
    assert "--base-url" in reasons(api, "not added")[0]
    api = mapped({"/x": {"get": {}}}, Choices(base_url="http://127.0.0.1:8000/"), servers=servers)
    assert [tool.endpoint_url for tool in api.tools.values()] == ["http://127.0.0.1:8000/x"]


def test_what_a_url_cannot_hold_is_encoded() -> None:
    assert operation({}, "/käse brot#fragment").endpoint_url == "https://shop.test/v1/k%C3%A4se%20brot"


@pytest.mark.parametrize(
    ("security", "auth"),
    [
        ([{"header": []}], "all"),
        ([{"cookie": []}, {"basic": []}], "all"),
        ([{}, {"bearer": []}], "all"),
        ([{"oauth": ["read"]}], "special"),
        ([{"digest": []}], None),
        ([{"header": [], "query": []}], None),
        ([], None),
    ],
)
def test_an_operation_has_the_credential_that_its_security_needs(security: Any, auth: str | None) -> None:
    choices = Choices(credentials={"": "all", "oauth": "special"})
    api = mapped({"/x": {"get": {"security": security}}}, choices, components={"securitySchemes": SCHEMES})
    assert [tool.auth for tool in api.tools.values()] == [auth]


def test_the_security_of_all_counts_unless_an_operation_has_its_own() -> None:
    api = mapped(
        {"/x": {"get": {}, "put": {"security": []}}},
        Choices(credentials={"": "all"}),
        components={"securitySchemes": SCHEMES},
        security=[{"bearer": []}],
    )
    assert [tool.auth for tool in api.tools.values()] == ["all", None]


def test_an_api_without_schemes_gets_the_credential_everywhere() -> None:
    api = mapped({"/x": {"get": {}}}, Choices(credentials={"": "all"}))
    assert [tool.auth for tool in api.tools.values()] == ["all"]


@pytest.mark.parametrize(
    ("security", "words"),
    [
        ([{"header": []}, {"query": []}], "--header X-Key ('header') or --query key ('query')"),
        ([{"cookie": []}], "the scheme 'cookie', which no credential can be used with"),
        ([{"header": [], "query": []}], "'header' and 'query' together, and a tool can have one only"),
        ([{"missing": []}], "the scheme 'missing', which no credential can be used with"),
    ],
)
def test_a_missing_credential_is_noticed(security: Any, words: str) -> None:
    api = mapped({"/x": {"get": {"security": security}}}, components={"securitySchemes": SCHEMES})
    (reason,) = reasons(api, "noticed")
    assert words in reason
    assert not reasons(mapped({"/x": {"get": {"security": [{}, *security]}}}), "noticed")


def test_a_credential_for_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(Invalid, match=r"There is no security scheme 'other'\. There are: header, query"):
        mapped({}, Choices(credentials={"other": "x"}), components={"securitySchemes": SCHEMES})
