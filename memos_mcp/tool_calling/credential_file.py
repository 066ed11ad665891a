"""The file of the operator's credentials, `credentials.json` in the data folder. It is in no backup and no export."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer, model_validator

from memos_mcp.tool_calling.allowed_hosts import parse_host_port
from memos_mcp.tool_calling.credentials import Credential, CredentialKind
from memos_mcp.tool_calling.outcomes import CallFailed
from memos_mcp.tool_calling.private_file import FileUnusable, PrivateFile

FILE_NAME: Final = "credentials.json"
MAX_SECRET_CHARS: Final = 16_384

KeptIn: TypeAlias = Literal["file", "environment"]
SecretLookup: TypeAlias = Callable[[str], SecretStr | None]
"""Returns the value of an environment variable, or None when it is not set."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
"""A token of HTTP (RFC 9110, section 5.6.2)."""

_REFUSED_HEADERS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class WrongCredential(Exception):
    """A credential cannot be stored so. The message says what is wrong, and holds nothing of the secret."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A credential without its secret. kept_in: where the secret is, or None when it is nowhere."""

    name: str
    hosts: Sequence[str]
    kind: CredentialKind
    parameter: str | None = None
    kept_in: KeptIn | None = None

    @property
    def variable(self) -> str:
        """The environment variable that may hold the secret."""
        return variable_of(self.name)


class _StoredCredential(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    hosts: list[str] = Field(min_length=1)
    kind: CredentialKind
    parameter: str | None = None
    secret: SecretStr | None = None

    @model_validator(mode="after")
    def _parameter_where_named(self) -> "_StoredCredential":
        if (self.kind in {"header", "query"}) != bool(self.parameter):
            raise ValueError("header and query have a parameter, the others have none")
        return self

    @field_serializer("secret")
    def _written(self, secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()


class CredentialFile:
    """Reads and changes the file, and is the `CredentialSource` of those who call. The environment's secrets win."""

    def __init__(self, path: Path, in_environment: SecretLookup) -> None:
        self._file = PrivateFile(path)
        self._in_environment = in_environment

    def get(self, name: str) -> Credential | None:
        """Return a credential, or None for an unknown name; raise `CallFailed` for one without a secret."""
        try:
            content = self._file.read()
            if name not in content:
                return None
            stored = self._stored(name, content[name])
        except FileUnusable as error:
            raise CallFailed(str(error).rstrip("."), cause="setup") from None
        secret = self._in_environment(variable_of(name)) or stored.secret
        if secret is None:
            raise CallFailed(
                f"The credential {name} has no secret: set {variable_of(name)} where memos-as is started, or run "
                f"memos-as credential set {name}",
                cause="setup",
            )
        return Credential(name, tuple(stored.hosts), stored.kind, stored.parameter, secret)

    def bindings(self) -> list[Binding]:
        """Return all credentials by name, without their secrets."""
        return [self._listed(name, self._stored(name, value)) for name, value in sorted(self._file.read().items())]

    def put(self, binding: Binding, secret: SecretStr | None) -> Binding:
        """Add or replace a credential and return it as listed; without a secret, it comes from the environment."""
        check_binding(binding)
        if secret is not None:
            check_secret(binding.kind, secret)
        stored = _StoredCredential(
            hosts=list(binding.hosts), kind=binding.kind, parameter=binding.parameter, secret=secret
        )
        with self._file.edit() as content:
            for other in content:
                if other != binding.name and variable_of(other) == binding.variable:
                    raise WrongCredential(
                        f"{binding.name} and {other} would share the variable {binding.variable}. Choose another name."
                    )
            content[binding.name] = stored.model_dump(exclude_none=True)
        return self._listed(binding.name, stored)

    def remove(self, name: str) -> bool:
        """Remove a credential; return whether there was one."""
        with self._file.edit() as content:
            return content.pop(name, None) is not None

    def _listed(self, name: str, stored: _StoredCredential) -> Binding:
        kept_in: KeptIn | None = None if stored.secret is None else "file"
        if self._in_environment(variable_of(name)) is not None:
            kept_in = "environment"
        return Binding(name, stored.hosts, stored.kind, stored.parameter, kept_in)

    def _stored(self, name: str, value: Any) -> _StoredCredential:
        try:
            return _StoredCredential.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = "/".join([name, *map(str, problem["loc"])])
            raise FileUnusable(
                f"{self._file.path} cannot be used: at {path}, {problem['msg']}. Correct it by hand."
            ) from None


def variable_of(name: str) -> str:
    """Return the environment variable that may hold a credential's secret."""
    return f"MEMOS_CREDENTIAL_{re.sub('[.-]', '_', name).upper()}"


def check_binding(binding: Binding) -> None:
    """Raise `WrongCredential` for a name, a host or a parameter that cannot be used."""
    if not _NAME.fullmatch(binding.name):
        raise WrongCredential(
            "The name of a credential has up to 64 letters, digits, dots, dashes and underscores, and starts with a "
            "letter or digit."
        )
    for host in binding.hosts:
        try:
            parse_host_port(host)
        except ValueError:
            raise WrongCredential(
                f"{host!a} is not a host. Give a name or an address, with a port if you like: api.example.com:8443"
            ) from None
    if binding.kind == "header" and not (
        _HEADER.fullmatch(binding.parameter or "") and (binding.parameter or "").lower() not in _REFUSED_HEADERS
    ):
        raise WrongCredential("--header takes the name of a header only, such as X-Api-Key. The secret is asked for.")
    if binding.kind == "query" and not (binding.parameter or "").isprintable():
        raise WrongCredential("--query takes the name of a parameter only, such as api_key. The secret is asked for.")


def check_secret(kind: CredentialKind, secret: SecretStr) -> None:
    """Raise `WrongCredential` for a secret that no request can carry."""
    text = secret.get_secret_value()
    if not text.strip():
        raise WrongCredential("The secret is empty. Nothing was changed.")
    if len(text) > MAX_SECRET_CHARS:
        raise WrongCredential(f"The secret has more than {MAX_SECRET_CHARS:,} characters. Nothing was changed.")
    if not text.isprintable():
        raise WrongCredential("The secret holds a line break or another control character. Nothing was changed.")
    if kind in {"bearer", "header"} and not text.isascii():
        raise WrongCredential("The secret holds a character that no header can carry. Nothing was changed.")
    if kind == "basic" and ":" not in text:
        raise WrongCredential("The secret of --basic is user:password. Nothing was changed.")
