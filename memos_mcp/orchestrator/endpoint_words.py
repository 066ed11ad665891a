"""What an endpoint says about a request that it refuses: in its own words, without addresses and secrets. Pure.

Forms of the body: `{"error": {"message": ...}}` (OpenAI, Ollama, llama.cpp, vLLM), `{"error": "..."}` (Ollama's own
API, LM Studio), `{"object": "error", "message": ...}` (Mistral, older vLLM), `{"detail": ...}` (FastAPI), a list of
any of these (Gemini), and `metadata.raw` with the words of the provider behind (OpenRouter).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

SHOWN_CHARS: Final = 400
REMOVED: Final = "[removed]"

_SECRETS: Final = re.compile(
    r"""(?ix)
    \b[a-z][a-z0-9+.-]*://\S+                                      # an address with its scheme
    | \b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b                         # IPv4
    | \[[0-9a-f:.]*:[0-9a-f:.]*\](?::\d+)?                         # IPv6
    | \b(?:localhost|(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*)(?::\d{2,5})\b   # a host with its port
    | \b(?:[a-z0-9-]+\.)+(?:internal|intranet|local|lan|corp|home|localdomain)\b
    | \b(?:sk|pk|rk|gsk|hf|xai|ghp)[-_][a-z0-9*._-]+ | \b(?:AKIA|AIza|eyJ)[a-z0-9*._-]{8,}
    | \b(?:bearer|basic)\s+(?!auth|token|scheme)[^\s"',;]{4,}
    | (?<=key:\s)[^\s"',;]+ | (?<=key=)[^\s"'&,;]+ | (?<=token=)[^\s"'&,;]+ | (?<=token:\s)[^\s"',;]+
    | (?<=password=)[^\s"'&,;]+ | (?<=secret=)[^\s"'&,;]+ | (?<=provided:\s)[^\s"',;]+
    | \b(?=[a-z0-9_+/=-]*[a-z])(?=[a-z0-9_+/=-]*\d)[a-z0-9_+/=-]{20,}  # a long token with letters and digits
    """
)
_TOO_LONG: Final = re.compile(
    r"exceed_context_size|context_length_exceeded|context (?:length|size|window)|context the overflows"
    r"|context overflows|prompt is too long|input is too long|too many tokens|too large for model with"
    r"|max_tokens must be at least 1|reduce the length of",
    re.IGNORECASE,
)
_SCHEMA: Final = re.compile(
    r"schema|grammar|function_?parameters|parameters\b.*(?:invalid|unsupported)|unmarshal .*(?:tool|function)"
    r"|tools?[.\[]\d+",
    re.IGNORECASE,
)
_FUNCTION: Final = re.compile(r"(?:function|tool)(?: name)?:? ['\"`]([A-Za-z0-9_-]{1,64})['\"`]", re.IGNORECASE)
_POSITION: Final = re.compile(r"\bfunction_declarations\[(\d+)|\btools?[.\[/](\d+)(?!.*function_declarations)")

_NOT_THE_REQUEST: Final = frozenset({401, 403, 404, 429})
"""Statuses of refusals that another form of the request would not change."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal of a request: its status, the endpoint's `words` for people, and all of its text, for recognition."""

    status: int | None
    words: str
    text: str = ""

    @property
    def reason(self) -> str:
        """What happened, for a person."""
        what = (
            f"the model's endpoint answered with status {self.status}" if self.status else "the model's endpoint failed"
        )
        return f"{what}: {self.words}" if self.words else what

    @property
    def is_context_too_long(self) -> bool:
        """Whether the messages do not fit into the model's context."""
        return self.status not in _NOT_THE_REQUEST and _TOO_LONG.search(self.text) is not None

    @property
    def is_about_schemas(self) -> bool:
        """Whether the endpoint does not take the schema of a function."""
        return self.status not in _NOT_THE_REQUEST and _SCHEMA.search(self.text) is not None

    @property
    def wants_thinking(self) -> bool:
        """Whether the endpoint misses the thinking that came with earlier calls, as DeepSeek and Kimi do."""
        return self.status not in _NOT_THE_REQUEST and "reasoning_content" in self.text

    @property
    def function(self) -> str | int | None:
        """The name or the position of the function that is refused, if the endpoint says which."""
        name, position = _FUNCTION.search(self.text), _POSITION.search(self.text)
        if name is not None:
            return name[1]
        return int(position[1] or position[2]) if position is not None else None


def refusal(status: int | None, body: Any, *, model: str = "", secrets: tuple[str, ...] = ()) -> Refusal:
    """Read a refusal. `model` may be named in the words; each of `secrets` (the key, the endpoint's host) may not."""
    message = _message(body)
    if message.lstrip()[:1] == "<":  # a page of a proxy
        message = ""
    fields = [str(part[name]) for part in _parts(body) for name in ("type", "code", "param") if part.get(name)]
    return Refusal(status, shown(message, model=model, secrets=secrets), " ".join([message, *fields]))


def shown(message: str, *, model: str = "", secrets: tuple[str, ...] = ()) -> str:
    """Return a message without addresses, keys and long tokens, on one line; the name of the model is kept."""
    text = " ".join("".join(char if char.isprintable() else " " for char in message).split())
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, REMOVED)
    kept = text.split(model) if model else [text]
    text = model.join(_SECRETS.sub(REMOVED, part) for part in kept)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} …"


def _message(body: Any) -> str:
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return "; ".join(filter(None, map(_message, body)))
    if not isinstance(body, Mapping):
        return ""
    for name in ("error", "message", "detail", "msg", "error_message"):
        if body.get(name):
            message = _message(body[name])
            raw = body.get("metadata", {}).get("raw") if isinstance(body.get("metadata"), Mapping) else None
            return f"{message}: {raw}" if isinstance(raw, str) else message
    return ""


def _parts(body: Any) -> list[Mapping[str, Any]]:
    if isinstance(body, list):
        return [part for entry in body for part in _parts(entry)]
    if not isinstance(body, Mapping):
        return []
    return [body, *_parts(body.get("error"))]
