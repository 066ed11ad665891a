import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pydantic import SecretStr

from memos_mcp.tool_calling.credentials import Credential, CredentialKind
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.requests import HttpRequest

SECRET = "canary/4f9c+21&b7"


def credential(
    kind: CredentialKind = "bearer", parameter: str | None = None, secret: str = SECRET, host: str = "api.example.com"
) -> Credential:
    return Credential("weather", [host], kind, parameter, SecretStr(secret))


def get(url: str = "https://api.example.com/a?x=1", **headers: str) -> HttpRequest:
    return HttpRequest("GET", url, headers)


@pytest.mark.parametrize(
    ("kind", "parameter", "header"),
    [
        ("bearer", None, ("Authorization", f"Bearer {SECRET}")),
        ("header", "X-Key", ("X-Key", SECRET)),
    ],
)
def test_a_secret_is_sent_in_its_header(kind: CredentialKind, parameter: str | None, header: tuple[str, str]) -> None:
    assert credential(kind, parameter).applied(get(Accept="a")).headers == {"Accept": "a", header[0]: header[1]}


def test_a_user_and_password_are_sent_as_basic() -> None:
    made = credential("basic", secret="Aladdin:open sesame").applied(get())
    assert made.headers == {"Authorization": "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="}


def test_a_secret_is_sent_in_the_query_once() -> None:
    made = credential("query", "key").applied(get())
    assert parse_qsl(urlsplit(made.url).query) == [("x", "1"), ("key", SECRET)]
    assert credential("query", "key").applied(made) == made


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.com/",
        "https://api.example.com:8443/",
        "https://api.example.com.evil.example/",
        "https://api.example.com@evil.example/",
        "https://evil.example/api.example.com",
    ],
)
@pytest.mark.parametrize("kind", ["bearer", "basic", "header", "query"])
def test_a_secret_is_not_sent_to_another_host(kind: CredentialKind, url: str) -> None:
    with pytest.raises(CallFailed, match="not for its host") as refusal:
        credential(kind, "key").applied(get(url))
    assert SECRET not in str(refusal.value)


def test_a_secret_for_a_port_is_sent_to_that_port_only() -> None:
    bound = credential(host="api.example.com:8443")
    assert bound.applied(get("https://api.example.com:8443/")).headers
    with pytest.raises(CallFailed, match="not for its host"):
        bound.applied(get())


def test_an_argument_that_the_credential_sets_is_refused() -> None:
    with pytest.raises(CallFailed, match="Leave it out"):
        credential("header", "X-Key").applied(get(**{"x-key": "mine"}))
    with pytest.raises(CallFailed, match="Leave it out"):
        credential("query", "x").applied(get())


@pytest.mark.parametrize("secret", ["a\r\nX-Other: 1", "schlüssel"])
def test_a_secret_that_no_header_carries_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(CallFailed, match="cannot be sent") as refusal:
        credential(secret=secret).applied(get())
    assert secret not in str(refusal.value)


@pytest.mark.parametrize("kind", ["bearer", "basic", "header", "query"])
def test_an_echoed_secret_is_masked_in_every_form(kind: CredentialKind) -> None:
    secret = f"user:{SECRET}" if kind == "basic" else SECRET
    one = credential(kind, "key", secret)
    sent = one.applied(get())
    echoed = {**sent.headers, "url": sent.url, "json": json.dumps(secret), "slashes": secret.replace("/", "\\/")}
    for text in echoed.values():
        assert SECRET not in one.mask(text)
    masked = json.dumps(one.masked([echoed, {secret: 5}, secret, SECRET]))
    assert "canary" not in masked
    assert "[credential weather]" in masked
    assert one.applied(get()).headers.get("Authorization", "none") not in masked


def test_a_secret_of_digits_is_masked_as_a_number_too() -> None:
    values: list[Any] = [12345678, 1, True, None, 1.5, "12345678"]
    shown = "[credential weather]"
    assert credential(secret="12345678").masked(values) == [shown, 1, True, None, 1.5, shown]


def test_a_text_that_is_cut_within_a_secret_does_not_show_its_beginning() -> None:
    assert credential().mask_end(f"key: {SECRET[:9]}") == "key: [credential weather]"
    assert credential().mask_end("nothing here") == "nothing here"


def test_a_credential_does_not_show_its_secret() -> None:
    assert SECRET not in f"{credential()!r} {credential()}"


def test_a_credential_is_bound_to_hosts_not_to_urls() -> None:
    with pytest.raises(ValueError, match="is not a host"):
        credential(host="https://api.example.com/")
