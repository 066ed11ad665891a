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

from memos_mcp.orchestrator.tool_caller import ToolAnswer, ToolCaller, ToolFailure
from tests.orchestrator.services import ECHO, Tools, free_port, serving, tool, within

pytestmark = pytest.mark.anyio

WORD = '{"word": "hello"}'
GET = {**ECHO, "x-method": "GET"}


async def failure(place: str, behaviour: str, **changed: Any) -> ToolFailure:
    """Call a tool that must fail."""
    answer = await ToolCaller(private_hosts=[place]).call(tool(place, behaviour, **changed), WORD)
    assert isinstance(answer, ToolFailure)
    assert answer.tool_id == f"test.{behaviour}"
    assert place not in answer.what
    return answer


async def test_a_tool_is_called_by_post_with_its_arguments_under_its_own_name(place: str, tools: Tools) -> None:
    answer = await ToolCaller(private_hosts=[place]).call(tool(place), WORD)
    assert answer == ToolAnswer("test.echo", {"said": "hello", "host": place})
    assert tools.seen[-1] == ("POST", "echo", {"word": "hello"})


async def test_a_tool_that_wants_get_has_its_arguments_as_query_parameters(place: str, tools: Tools) -> None:
    caller = ToolCaller(private_hosts=[place])
    arguments = '{"word": "a&b", "safe": true, "count": 5, "nothing": null}'
    assert isinstance(await caller.call(tool(place, request_schema=GET), arguments), ToolAnswer)
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
        ('{"word": "\\ud83d"}', "half a character"),
    ],
)
async def test_wrong_arguments_are_told_and_nothing_is_sent(
    place: str, tools: Tools, arguments: str, what: str
) -> None:
    before = len(tools.seen)
    answer = await ToolCaller(private_hosts=[place]).call(tool(place), arguments)
    assert isinstance(answer, ToolFailure)
    assert what in answer.what
    assert not answer.retryable
    assert len(tools.seen) == before


async def test_a_tool_that_lies_about_its_answer_is_found_out(place: str) -> None:
    assert "does not agree with its response_schema: at said: 5" in (await failure(place, "liar")).what
    assert "is not JSON" in (await failure(place, "text")).what


async def test_a_tool_without_schemas_may_answer_in_words(place: str) -> None:
    caller = ToolCaller(private_hosts=[place])
    bare = tool(place, "text", request_schema=None, response_schema=None)
    assert await caller.call(bare, "{}") == ToolAnswer("test.text", "plain words")


async def test_a_tool_that_never_ends_is_left(place: str) -> None:
    async with within(3):
        answer = await ToolCaller(private_hosts=[place], seconds=0.5).call(tool(place, "drip"), WORD)
    assert answer == ToolFailure("test.drip", "It did not answer within 0.5 s.", retryable=True)


async def test_a_tool_that_takes_the_connection_and_says_nothing_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        place = f"127.0.0.1:{mute.getsockname()[1]}"
        async with within(3):
            answer = await ToolCaller(private_hosts=[place], seconds=0.5).call(tool(place), WORD)
    assert isinstance(answer, ToolFailure)
    assert answer.retryable


@pytest.mark.parametrize(("behaviour", "what"), [("large", "larger than 1,048,576 bytes"), ("bomb", "compressed")])
async def test_an_answer_without_bounds_is_not_read_to_its_end(place: str, behaviour: str, what: str) -> None:
    assert what in (await failure(place, behaviour)).what


@pytest.mark.parametrize("behaviour", ["to-metadata", "to-loopback", "to-other-name"])
async def test_no_redirect_to_another_host_is_followed(place: str, behaviour: str) -> None:
    assert (await failure(place, behaviour)).what == "It redirects to another host, which is not followed."
    assert "another host" in (await failure(place, behaviour, request_schema=GET)).what


async def test_a_redirect_on_the_same_host_is_followed_but_not_in_circles(place: str, tools: Tools) -> None:
    assert isinstance(await ToolCaller(private_hosts=[place]).call(tool(place, "to-echo"), WORD), ToolAnswer)
    assert tools.seen[-1] == ("POST", "echo", {"word": "hello"})
    assert "circles" in (await failure(place, "to-itself")).what
    assert "would be a GET" in (await failure(place, "to-echo-as-get")).what


async def test_what_a_tool_says_when_it_refuses_is_told(place: str) -> None:
    refused = await failure(place, "refusing")
    assert "status 422" in refused.what
    assert "word must be polite" in refused.what
    assert not refused.retryable


async def test_a_busy_tool_is_asked_again_only_by_get(place: str, tools: Tools) -> None:
    assert (await failure(place, "busy")).retryable
    assert tools.asked("busy") == 1
    caller = ToolCaller(private_hosts=[place])
    assert isinstance(await caller.call(tool(place, "busy-at-first", request_schema=GET), WORD), ToolAnswer)
    assert tools.asked("busy-at-first") == 2


async def test_a_tool_that_is_not_there_is_tried_three_times_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memos_mcp.orchestrator.tool_caller.BACKOFF_SECONDS", 0.01)
    asked: list[str] = []

    async def resolve(host: str, _: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    place = f"tools.internal:{free_port()}"
    answer = await ToolCaller(private_hosts=[place], resolve=resolve).call(tool(place), WORD)
    assert answer == ToolFailure("test.echo", "It cannot be reached.", retryable=True)
    assert len(asked) == 3


async def test_the_next_address_is_tried_where_the_first_takes_no_connection(place: str) -> None:
    async def resolve(_: str, __: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    here = place.replace("127.0.0.1", "tools.internal")
    answer = await ToolCaller(private_hosts=[here], resolve=resolve).call(tool(here), WORD)
    assert answer == ToolAnswer("test.echo", {"said": "hello", "host": here})


async def test_the_address_that_was_looked_at_is_the_one_that_is_called(place: str) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(_: str, __: int) -> list[str]:
        return answers.pop(0)

    here = place.replace("127.0.0.1", "tools.internal")
    caller = ToolCaller(private_hosts=[here], resolve=resolve)
    assert isinstance(await caller.call(tool(here), WORD), ToolAnswer)
    second = await caller.call(tool(here), WORD)
    assert isinstance(second, ToolFailure)
    assert "never called" in second.what


async def test_no_host_is_called_that_was_not_named(place: str, tools: Tools) -> None:
    before = len(tools.seen)
    for caller in (ToolCaller(), ToolCaller(["tools.example.com"]), ToolCaller([place])):
        answer = await caller.call(tool(place), WORD)
        assert isinstance(answer, ToolFailure)
    assert len(tools.seen) == before


async def test_no_proxy_of_the_environment_stands_between(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert isinstance(await ToolCaller(private_hosts=[place]).call(tool(place), WORD), ToolAnswer)


async def test_an_unusable_schema_is_told_and_nothing_is_sent(place: str, tools: Tools) -> None:
    before = len(tools.seen)
    assert "request_schema cannot be used" in (await failure(place, "echo", request_schema={"type": "wrong"})).what
    assert len(tools.seen) == before


async def test_a_call_can_be_cancelled(place: str) -> None:
    with anyio.move_on_after(0.2) as scope:
        await ToolCaller(private_hosts=[place]).call(tool(place, "drip"), WORD)
    assert scope.cancelled_caught


async def test_over_https_the_certificate_must_be_for_the_name_and_from_who_is_trusted(tmp_path: Path) -> None:
    trust, files = certified("tools.internal", tmp_path)

    async def resolve(_: str, __: int) -> list[str]:
        return ["127.0.0.1"]

    with serving(Tools().app, **files) as place:
        port = place.partition(":")[2]
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
    """Return who trusts a new certificate for this name, and the files with which a server shows it."""
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
