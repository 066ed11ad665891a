"""Credentials: applied to requests of their own hosts only, and masked in whatever comes back. Pure."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

import httpx2
from pydantic import SecretStr

from memos_mcp.tool_calling.allowed_hosts import names_of, parse_host_port
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.requests import HttpRequest

CredentialKind: TypeAlias = Literal["bearer", "basic", "header", "query"]

MIN_MASKED_CHARS: Final = 4
"""Shorter parts of a secret are not masked: they occur in any text."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret that authorises requests at some hosts.

    `hosts` are written as those of `ToolCaller`; one that is none raises ValueError. `parameter` is the name of the
    header or query parameter; the secret of `basic` is `user:password`.
    """

    name: str
    hosts: Sequence[str]
    kind: CredentialKind
    parameter: str | None
    secret: SecretStr

    def __post_init__(self) -> None:
        for host in self.hosts:
            parse_host_port(host)

    def applied(self, request: HttpRequest) -> HttpRequest:
        """Return the request with the secret; raise `CallFailed` if it is not for this host, or already has one."""
        url = httpx2.URL(request.url)
        if not names_of(url)[1] & set(map(parse_host_port, self.hosts)):
            raise CallFailed(
                f"The credential {self.name} is not for its host. The operator can bind it: "
                f"memos-as credential set {self.name} --host {url.netloc.decode('ascii')}"
            )
        if self.kind == "query":
            return self._in_query(request)
        name, value = self._header()
        if not (value.isascii() and value.isprintable()):
            raise CallFailed(f"The secret of the credential {self.name} cannot be sent in a header")
        if any(given.lower() == name.lower() for given in request.headers):
            raise CallFailed(f"The header {name} is set by the credential {self.name}. Leave it out")
        return replace(request, headers={**request.headers, name: value})

    def mask(self, text: str) -> str:
        """Return the text with the name of the credential in the position of its secret."""
        for form in self._forms():
            text = text.replace(form, self._shown)
        return text

    def mask_end(self, text: str) -> str:
        """Mask a text that was cut: it may end within the secret."""
        for form in self._forms():
            for length in range(len(form) - 1, MIN_MASKED_CHARS - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + self._shown
        return text

    def masked(self, value: Any) -> Any:
        """Return a JSON value with the secret masked in its keys, texts and numbers."""
        if isinstance(value, dict):
            return {self.mask(key): self.masked(part) for key, part in value.items()}
        if isinstance(value, list):
            return [self.masked(part) for part in value]
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
            return value if (shown := self.mask(text)) == text else shown
        return value

    @property
    def _shown(self) -> str:
        return f"[credential {self.name}]"

    def _header(self) -> tuple[str, str]:
        secret = self.secret.get_secret_value()
        if self.kind == "bearer":
            return "Authorization", f"Bearer {secret}"
        if self.kind == "basic":
            return "Authorization", f"Basic {_base64(secret)}"
        return str(self.parameter), secret

    def _in_query(self, request: HttpRequest) -> HttpRequest:
        name, secret = str(self.parameter), self.secret.get_secret_value()
        parts = urlsplit(request.url)
        given = [value for key, value in parse_qsl(parts.query, keep_blank_values=True) if key == name]
        if given == [secret]:  # a redirect repeats it
            return request
        if given:
            raise CallFailed(f"The query parameter {name} is set by the credential {self.name}. Leave it out")
        pair = f"{quote(name, safe='')}={quote(secret, safe='')}"
        return replace(request, url=parts._replace(query=f"{parts.query}&{pair}".lstrip("&")).geturl())

    def _forms(self) -> list[str]:
        """Return the secret as requests carry it and as answers may repeat it, the longest first."""
        secret = self.secret.get_secret_value()
        whole = [secret]
        if self.kind == "basic":
            whole += [_base64(secret), secret.partition(":")[2]]
        forms = {
            form
            for text in whole
            if text
            for form in (text, quote(text, safe=""), quote(text), quote_plus(text), *_in_json(text))
        }
        return sorted(
            (form for form in forms if form == secret or len(form) >= MIN_MASKED_CHARS), key=len, reverse=True
        )


class CredentialSource(Protocol):
    """The credentials that the operator has set."""

    def get(self, name: str) -> Credential | None:
        """Return a credential with its secret, or None if it is not set."""


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode("ascii")


def _in_json(text: str) -> tuple[str, str]:
    """Return a text as JSON has it; some also escape slashes."""
    escaped = json.dumps(text)[1:-1]
    return escaped, escaped.replace("/", "\\/")
