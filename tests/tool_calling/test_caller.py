import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.caller import ToolCaller
from memos_mcp.tool_calling.outcomes import ToolAnswer, ToolFailure
from tests.tool_calling.endpoints import ECHO, MEGABYTE, Tools, free_port, serving, tool, within

pytestmark = pytest.mark.anyio

DISAGREES = "done, but its answer does not agree with its response_schema: "
WORD = '{"word": "hello"}'
KEYS = st.sampled_from(
    [
        "a",
        "b",
        "type",
        "properties",
        "required",
        "allOf",
        "$ref",
        "$defs",
        "x-in",
        "x-body",
        "x-method",
        "readOnly",
        "x-body-property",
        "pattern",
        "nullable",
        "items",
        "x-name",
        "x-style",
        "x-explode",
        "enum",
        "$schema",
    ]
)
GET = {**ECHO, "x-method": "GET"}


async def failure(tool_host: str, behaviour: str, **changed: Any) -> ToolFailure:
    """Call a tool that must fail."""
    answer = await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host, behaviour, **changed), WORD)
    assert isinstance(answer, ToolFailure)
    assert answer.tool_id == f"test.{behaviour}"
    assert tool_host not in answer.what
    return answer


async def test_a_tool_is_called_by_post_with_its_arguments_and_host_name(tool_host: str, tools: Tools) -> None:
    answer = await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host), WORD)
    assert answer == ToolAnswer("test.echo", {"reply": "hello", "host": tool_host}, status=200)
    assert tools.seen[-1] == ("POST", "echo", {"word": "hello"})


async def test_a_get_tool_receives_its_arguments_as_query_parameters(tool_host: str, tools: Tools) -> None:
    caller = ToolCaller(private_hosts=[tool_host])
    arguments = '{"word": "a&b", "safe": true, "count": 5, "nothing": null}'
    assert isinstance(await caller.call(tool(tool_host, request_schema=GET), arguments), ToolAnswer)
    assert tools.seen[-1] == ("GET", "echo", {"word": "a&b", "safe": "true", "count": "5"})


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ("{word: hello}", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"word": NaN}', "not JSON"),
        ("[]", "not a JSON object"),
        ("", "'word' is a required property"),
        ('{"word": 5}', "at word: 5 is not of type 'string'"),
        ('{"word": "\\ud83d"}', "an unpaired surrogate"),
    ],
)
async def test_wrong_arguments_are_reported_and_nothing_is_sent(
    tool_host: str, tools: Tools, arguments: str, what: str
) -> None:
    before = len(tools.seen)
    answer = await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host), arguments)
    assert isinstance(answer, ToolFailure)
    assert what in answer.what
    assert not answer.retryable
    assert len(tools.seen) == before


async def test_an_answer_that_violates_the_response_schema_is_handed_over_with_a_note(tool_host: str) -> None:
    caller = ToolCaller(private_hosts=[tool_host])
    liar = await caller.call(tool(tool_host, "liar"), WORD)
    assert liar == ToolAnswer("test.liar", {"reply": 5}, DISAGREES + "at reply: 5 is not of type 'string'", 200)
    text = await caller.call(tool(tool_host, "text"), WORD)
    assert text == ToolAnswer(
        "test.text", "plain words", "done, but its answer is not JSON, as its response_schema says that it is", 200
    )


async def test_a_tool_without_schemas_may_answer_with_text(tool_host: str) -> None:
    caller = ToolCaller(private_hosts=[tool_host])
    bare = tool(tool_host, "text", request_schema=None, response_schema=None)
    assert await caller.call(bare, "{}") == ToolAnswer("test.text", "plain words", status=200)


async def test_an_endless_answer_is_handed_over_as_far_as_it_came_in_time(tool_host: str) -> None:
    async with within(3):
        answer = await ToolCaller(private_hosts=[tool_host], seconds=0.5).call(tool(tool_host, "drip"), WORD)
    assert isinstance(answer, ToolAnswer)
    assert answer.value.isspace()
    assert answer.note is not None
    assert answer.note.startswith("done, but its answer did not end in time")


async def test_a_tool_that_accepts_the_connection_and_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        tool_host = f"127.0.0.1:{mute.getsockname()[1]}"
        async with within(3):
            answer = await ToolCaller(private_hosts=[tool_host], seconds=0.5).call(tool(tool_host), WORD)
    assert answer == ToolFailure(
        "test.echo",
        "It did not answer within 0.5 s. Whether it was done is not known.",
        retryable=True,
        effect="unknown",
    )


@pytest.mark.parametrize(("behaviour", "what"), [("large", "larger than 1,048,576 bytes"), ("bomb", "compressed")])
async def test_a_huge_answer_is_not_read_to_its_end(tool_host: str, behaviour: str, what: str) -> None:
    answer = await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host, behaviour), WORD)
    assert isinstance(answer, ToolAnswer)
    assert what in str(answer.note)
    assert len(answer.value or "") <= MEGABYTE


@pytest.mark.parametrize("behaviour", ["to-metadata", "to-loopback", "to-other-name"])
async def test_a_redirect_to_another_host_is_not_followed(tool_host: str, behaviour: str) -> None:
    assert (await failure(tool_host, behaviour)).what == "It redirects to another host, which is not followed."
    assert "another host" in (await failure(tool_host, behaviour, request_schema=GET)).what


async def test_a_redirect_on_the_same_host_is_followed_but_not_in_circles(tool_host: str, tools: Tools) -> None:
    assert isinstance(await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host, "to-echo"), WORD), ToolAnswer)
    assert tools.seen[-1] == ("POST", "echo", {"word": "hello"})
    assert "circles" in (await failure(tool_host, "to-itself")).what
    assert "would be a GET" in (await failure(tool_host, "to-echo-as-get")).what


async def test_the_text_of_a_refusal_is_reported(tool_host: str) -> None:
    refused = await failure(tool_host, "refusing")
    assert "status 422" in refused.what
    assert "word must be polite" in refused.what
    assert not refused.retryable


async def test_a_call_of_a_busy_tool_is_repeated_only_for_get(tool_host: str, tools: Tools) -> None:
    assert (await failure(tool_host, "busy")).retryable
    assert tools.asked("busy") == 1
    caller = ToolCaller(private_hosts=[tool_host])
    assert isinstance(await caller.call(tool(tool_host, "busy-at-first", request_schema=GET), WORD), ToolAnswer)
    assert tools.asked("busy-at-first") == 2


async def test_an_unreachable_tool_is_called_three_times_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memos_mcp.tool_calling.http_caller.BACKOFF_SECONDS", 0.01)
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    tool_host = f"tools.internal:{free_port()}"
    answer = await ToolCaller(private_hosts=[tool_host], resolve=resolve).call(tool(tool_host), WORD)
    assert answer == ToolFailure("test.echo", "It cannot be reached.", retryable=True)
    assert len(asked) == 3


async def test_the_next_address_is_used_if_the_first_refuses_the_connection(tool_host: str) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    named_host = tool_host.replace("127.0.0.1", "tools.internal")
    answer = await ToolCaller(private_hosts=[named_host], resolve=resolve).call(tool(named_host), WORD)
    assert answer == ToolAnswer("test.echo", {"reply": "hello", "host": named_host}, status=200)


async def test_the_checked_address_is_the_one_that_is_called(tool_host: str) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(_: str, __: int) -> list[str]:
        return answers.pop(0)

    named_host = tool_host.replace("127.0.0.1", "tools.internal")
    caller = ToolCaller(private_hosts=[named_host], resolve=resolve)
    assert isinstance(await caller.call(tool(named_host), WORD), ToolAnswer)
    second = await caller.call(tool(named_host), WORD)
    assert isinstance(second, ToolFailure)
    assert "never called" in second.what


async def test_a_host_that_is_not_allowed_is_not_called(tool_host: str, tools: Tools) -> None:
    before = len(tools.seen)
    for caller in (ToolCaller(), ToolCaller(["tools.example.com"]), ToolCaller([tool_host])):
        answer = await caller.call(tool(tool_host), WORD)
        assert isinstance(answer, ToolFailure)
    assert len(tools.seen) == before


async def test_proxies_of_the_environment_are_ignored(tool_host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert isinstance(await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host), WORD), ToolAnswer)


async def test_an_unusable_schema_is_reported_and_nothing_is_sent(tool_host: str, tools: Tools) -> None:
    before = len(tools.seen)
    assert "request_schema cannot be used" in (await failure(tool_host, "echo", request_schema={"type": "wrong"})).what
    assert len(tools.seen) == before


async def test_a_call_can_be_cancelled(tool_host: str) -> None:
    with anyio.move_on_after(0.2) as scope:
        await ToolCaller(private_hosts=[tool_host]).call(tool(tool_host, "drip"), WORD)
    assert scope.cancelled_caught


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.text(max_size=20) | st.text(max_size=20).map("https://tools.example.com/{a}".__add__),
    st.none() | st.dictionaries(KEYS, JSON, max_size=4),
    st.text(max_size=20) | st.dictionaries(KEYS, JSON, max_size=4),
)
def test_any_tool_and_any_arguments_are_answered(url: str, schema: dict[str, Any] | None, arguments: Any) -> None:
    one = CalledTool("any", url, request_schema=schema, response_schema=schema)
    answer = anyio.run(ToolCaller(["tools.example.com"], resolve=nowhere).call, one, arguments)
    assert isinstance(answer, ToolFailure)
    assert answer.effect == "none"


async def nowhere(_: str, __: int) -> list[str]:
    return []


async def test_https_requires_a_trusted_certificate_for_the_host_name(tmp_path: Path) -> None:
    trust, files = certified("tools.internal", tmp_path)

    async def resolve(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    with serving(Tools().app, **files) as tool_host:
        port = tool_host.partition(":")[2]
        hosts = [f"tools.internal:{port}", f"other.internal:{port}"]
        for host, trusted, wanted in [
            (hosts[0], trust, ToolAnswer),
            (hosts[1], trust, ToolFailure),
            (hosts[0], None, ToolFailure),
        ]:
            caller = ToolCaller(private_hosts=hosts, trust=trusted, resolve=resolve)
            answer = await caller.call(tool(host, endpoint_url=f"https://{host}/echo"), WORD)
            assert isinstance(answer, wanted), answer


def certified(name: str, folder: Path) -> tuple[ssl.SSLContext, dict[str, Any]]:
    """Return a context that trusts a new certificate for this name, and the server options that present it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(Encoding.PEM)
    (folder / "certificate").write_bytes(public)
    (folder / "key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    trust = ssl.create_default_context(cadata=public.decode())
    return trust, {"ssl_certfile": str(folder / "certificate"), "ssl_keyfile": str(folder / "key")}
