"""Answers over HTTP as the answers of tools: decoded, checked, and true about what was done. Pure."""

import codecs
import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias

import httpx2

from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.credentials import Credential
from memos_mcp.tool_calling.one_way import relaxed
from memos_mcp.tool_calling.outcomes import ToolAnswer
from memos_mcp.tool_calling.pattern_guard import find_guarded_violation
from memos_mcp.tool_calling.requests import HttpRequest
from memos_mcp.tool_calling.schema_check import UnusableSchema

BodyEnd: TypeAlias = Literal["complete", "too large", "too slow", "broken off"]

SHOWN_CHARS: Final = 300

_SLOW_CODECS: Final = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined"})
"""Text encodings of Python that no answer has, and that take too long for a large one or decode escapes."""
_HIDDEN_HEADERS: Final = frozenset({"set-cookie", "set-cookie2", "authorization", "www-authenticate"})

_CUT: Final[dict[BodyEnd, str]] = {
    "too large": "its answer is larger than {:,} bytes, and this is its beginning",
    "too slow": "its answer did not end in time, and this is its beginning of {:,} bytes",
    "broken off": "its answer broke off after {:,} bytes",
}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer with as much of its body as was read, and why no more was."""

    status: int
    headers: httpx2.Headers
    body: bytes = b""
    end: BodyEnd = "complete"

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str | None:
        """The compression of the body, if there is one. It was not asked for, and is not read."""
        named = self.headers.get("content-encoding", "identity").strip().lower()
        return None if named in {"identity", ""} else named


def answer_of(tool: CalledTool, request: HttpRequest, answer: HttpAnswer, credential: Credential | None) -> ToolAnswer:
    """Return the answer of a call with a successful status: its effect is done, whatever the answer looks like."""
    if request.method == "HEAD":
        headers = {name: text for name, text in answer.headers.items() if name not in _HIDDEN_HEADERS}
        value, reasons = _masked(headers, credential), ["a HEAD has headers only"]
    elif answer.status == HTTPStatus.SEE_OTHER:
        location = _location(answer, credential)
        value, reasons = None, [f"its result is elsewhere (status 303){location and f': {location}'}"]
    else:
        value, reasons = _read(tool, answer, credential)
    if request.unsent:
        reasons.append(f"its readOnly properties were not sent: {', '.join(request.unsent)[:SHOWN_CHARS]}")
    if answer.status == HTTPStatus.ACCEPTED:
        note: str | None = "; ".join(["accepted, but not known to be done (status 202)", *reasons])
    else:
        note = f"done, but {'; '.join(reasons)}" if reasons else None
    return ToolAnswer(tool.tool_id, value, note, answer.status)


def shown_body(answer: HttpAnswer, credential: Credential | None) -> str:
    """Return the beginning of a body in one line, for the reason of a failure."""
    if answer.encoding:
        return f"(compressed: {answer.encoding[:20]})"
    text = " ".join(_masked_text(_decoded(answer)[0] or "", answer, credential).split())
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} …"


def _read(tool: CalledTool, answer: HttpAnswer, credential: Credential | None) -> tuple[Any, list[str]]:
    """Return the value of an answer, and what is not as expected."""
    if answer.encoding:
        return None, [
            f"its answer is compressed, which it was asked not to be, and is not read: {answer.encoding[:20]}"
        ]
    if not answer.body and answer.end == "complete":
        location = _location(answer, credential)
        return None, [f"its answer has no body (status {answer.status}){location and f', only a location: {location}'}"]
    text, reasons = _decoded(answer)
    if text is None:
        kind = answer.content_type[:80] or "of no type"
        return None, [f"its answer of {len(answer.body):,} bytes is no text and is not shown: {kind}"]
    reasons += [_CUT[answer.end].format(len(answer.body))] if answer.end != "complete" else []
    if answer.end != "complete" or answer.content_type == "text/event-stream":
        return _masked_text(text, answer, credential), reasons
    value, flaw = _checked(tool, answer, text, credential)
    return value, [*reasons, *([flaw] if flaw else [])]


def _location(answer: HttpAnswer, credential: Credential | None) -> str:
    location: str = _masked(answer.headers.get("location", ""), credential)
    return location[:SHOWN_CHARS]


def _checked(tool: CalledTool, answer: HttpAnswer, text: str, credential: Credential | None) -> tuple[Any, str | None]:
    """Return the value that matches the response_schema, JSON before text; else the likelier one and its flaw."""
    is_text = answer.content_type.startswith("text/") and not answer.content_type.endswith("json")
    plain = _masked(text, credential)
    if tool.response_schema is None and is_text:
        return plain, None
    parsed = _json_of(text, credential)
    flaw = _violation(tool, parsed[0]) if parsed else "its answer is not JSON, as its response_schema says that it is"
    if parsed and (flaw is None or not is_text):
        return parsed[0], flaw
    if tool.response_schema is None or (is_text and _violation(tool, plain) is None):
        return plain, None
    return (parsed[0] if parsed else plain), flaw


def _json_of(text: str, credential: Credential | None) -> tuple[Any] | None:
    """Return the JSON value of a text, None if it is not JSON."""
    try:
        return (_masked(json.loads(text, parse_constant=_refused, parse_float=_finite), credential),)
    except (ValueError, RecursionError):
        return None


def _violation(tool: CalledTool, value: Any) -> str | None:
    if tool.response_schema is None:
        return None
    try:
        violation = find_guarded_violation(relaxed(tool.response_schema, "writeOnly"), value)
    except UnusableSchema as flaw:
        return f"its response_schema cannot be used: {flaw}"
    except RecursionError:
        return "its response_schema cannot be used: it refers to itself without end"
    return violation and f"its answer does not agree with its response_schema: {violation}".rstrip(".")


def _decoded(answer: HttpAnswer) -> tuple[str | None, list[str]]:
    """Return the text of a body by its byte order mark, its charset or as UTF-8; None if it is none."""
    body, codec = answer.body, _codec(answer)
    try:
        return body.decode(codec), []
    except UnicodeDecodeError as error:
        if answer.end != "complete" and error.end == len(body):
            return body[: error.start].decode(codec), []  # cut within a character
        text = body.decode(codec, errors="replace")
    declared = answer.content_type.startswith("text/") or "json" in answer.content_type or "xml" in answer.content_type
    if not declared:
        return None, []
    return text, [f"what is not {codec} in its answer is shown as \ufffd"]


def _codec(answer: HttpAnswer) -> str:
    marks = {
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF32_LE: "utf-32",
        codecs.BOM_UTF32_BE: "utf-32",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    for mark, codec in marks.items():
        if answer.body.startswith(mark):
            return codec
    named = httpx2.Response(200, headers={"content-type": answer.headers.get("content-type", "")}).charset_encoding
    try:
        found = codecs.lookup(named or "utf-8")
        "".encode(found.name)  # raises LookupError unless it is an encoding of text
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if found.name.replace("-", "_") in _SLOW_CODECS else found.name


def _masked(value: Any, credential: Credential | None) -> Any:
    return value if credential is None else credential.masked(value)


def _masked_text(text: str, answer: HttpAnswer, credential: Credential | None) -> str:
    if credential is None:
        return text
    masked = credential.mask(text)
    return masked if answer.end == "complete" else credential.mask_end(masked)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is too large for a number")
    return number


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
