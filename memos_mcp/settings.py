"""All settings, read from `MEMOS_*` environment variables; no other module reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from memos_mcp.domain.audit import AuditMode
from memos_mcp.domain.quotas import LIMITS, MAX_AMOUNT, MAX_RATE, Quota
from memos_mcp.ipc.handshake import IDENTITY

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

SigningAlgorithm: TypeAlias = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""The asymmetric algorithms of signatures: with `none` or a symmetric one, anyone could sign a token."""

_LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def _default_home() -> Path:
    try:
        return user_data_path("memos-as")
    except RuntimeError:
        return Path("~")  # the validator rejects it and names the reason


def _default_loadouts(data: Mapping[str, Any]) -> Path:
    home: Path = data["home"]
    return home / "loadouts"


class Settings(BaseSettings):
    """One field for each variable: `home` is `MEMOS_HOME`. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_prefix="MEMOS_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Field(default_factory=_default_home, validate_default=True)
    loadouts: Path = Field(default_factory=_default_loadouts)
    namespace: str = Field(default="default", min_length=1, max_length=255)
    agent_id: str = Field(default="default", min_length=1, max_length=255)

    database_url: SecretStr | None = None
    database_direct_url: SecretStr | None = None
    database_prepared_statements: bool = True
    database_pool: int = Field(default=10, ge=2)
    database_role: str | None = Field(default=None, max_length=63)
    old_postgres: Path | None = None
    qdrant_url: str | None = None
    qdrant_api_key: SecretStr | None = None
    qdrant_prefix: str = Field(default="memos", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    qdrant_shards: int | None = Field(default=None, ge=1)
    qdrant_replicas: int | None = Field(default=None, ge=1)
    qdrant_write_consistency: int | None = Field(default=None, ge=1)
    qdrant_quantization: Literal["none", "int8"] | None = None
    qdrant_on_disk: bool | None = None
    qdrant_timeout: int = Field(default=5, ge=1, le=60)
    embedding_model: str = DEFAULT_MODEL
    embedding_threads: int | None = Field(default=None, ge=1)
    reranker: str | None = None

    web_search_url: str = "http://127.0.0.1:8801/search"
    todo_url: str = "http://127.0.0.1:8802/items"

    experience: bool = True
    history_days: int | None = Field(default=None, ge=1)
    audit: AuditMode = "changes"
    audit_days: int | None = Field(default=365, ge=1)
    quota_memories: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    quota_bytes: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    quota_tools: int | None = Field(default=None, ge=0, le=MAX_AMOUNT)
    quota_calls_a_minute: int | None = Field(default=None, ge=1, le=MAX_RATE)
    quota_concurrent_calls: int | None = Field(default=None, ge=1, le=MAX_RATE)
    quota_embedding_seconds: float | None = Field(default=None, gt=0, le=MAX_RATE)

    index_wait_seconds: float = Field(default=2.0, ge=0, le=30)
    hnsw_threshold: int = Field(default=10_000, ge=1_000)

    ingest_max_bytes: int = Field(default=1024**2, ge=1, le=64 * 1024**2)

    host: str = "127.0.0.1"
    port: int = Field(default=8766, ge=0, le=65_535)
    auth: Literal["token", "none"] = "token"
    auth_token: SecretStr | None = None
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    http_timeout: float = Field(default=10.0, ge=0.1, le=600)
    http_connections: int = Field(default=512, ge=1)
    http_sessions: int = Field(default=1_000, ge=1)
    http_sessions_per_token: int = Field(default=100, ge=1)
    http_session_seconds: float = Field(default=1_800.0, ge=1, le=86_400)

    resource_url: str | None = None
    oidc_audience: str | None = None
    oidc_algorithms: Annotated[tuple[SigningAlgorithm, ...], NoDecode] = Field(
        default=get_args(SigningAlgorithm), min_length=1
    )
    oidc_namespace: str | None = Field(default=None, max_length=255)
    oidc_namespace_claim: str | None = None
    oidc_agent_claim: str = "sub"
    oidc_rights_claim: str = "scope"
    oidc_issuer: str | None = None

    tool_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    tool_private_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    tool_seconds: float = Field(default=30.0, gt=0, le=600)

    http: bool = False
    idle_seconds: float = Field(default=900.0, ge=0)
    drain_seconds: float = Field(default=0.0, ge=0, le=600)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_format: Literal["text", "json"] = "text"

    @property
    def postgres_folder(self) -> Path:
        """The folder of the bundled PostgreSQL."""
        return self.home / "postgres"

    @property
    def calls_tools(self) -> bool:
        """Whether the operator has named hosts that `call_tool` may call."""
        return bool(self.tool_hosts or self.tool_private_hosts)

    @property
    def quota(self) -> Quota:
        """The limits of every namespace that has none of its own."""
        return Quota(**{limit: getattr(self, f"quota_{limit}") for limit in LIMITS})

    def differing(self, environment: Mapping[str, str]) -> list[str]:
        """Return the names of the settings that identify an engine and have other values in this environment."""
        return [
            name for name in IDENTITY if _raw_value(self, name) != (environment.get(name) or _raw_value(None, name))
        ]

    def secret(self, variable: str) -> SecretStr | None:
        """Return a variable that is no setting and holds a secret, or None when it is not set."""
        value = os.environ.get(variable)
        return SecretStr(value) if value else None

    def environment(self) -> dict[str, str]:
        """Return the variables of this process, from which those for a program that it launches are chosen."""
        return dict(os.environ)

    def open_variables(self) -> dict[str, str]:
        """Return the variables of this process that are settings and no secrets."""
        named = {f"MEMOS_{name.upper()}": getattr(self, name) for name in type(self).model_fields}
        return {
            variable: os.environ[variable]
            for variable, value in named.items()
            if variable in os.environ and not isinstance(value, SecretStr)
        }

    @field_validator("home", "loadouts", "old_postgres", "tls_cert", "tls_key")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """Resolve `~`, which no shell does in a client's configuration; other programs start in other folders."""
        try:
            return value and value.expanduser().absolute()
        except RuntimeError:
            raise ValueError("the user's folder (~) is not known: give a full path") from None
        except FileNotFoundError:
            raise ValueError("the working folder no longer exists: give a full path") from None

    @field_validator("database_role")
    @classmethod
    def _of_a_server(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("database_url") is None:
            raise ValueError("needs MEMOS_DATABASE_URL: the bundled server has no roles of its operator")
        return value

    @field_validator("qdrant_write_consistency")
    @classmethod
    def _within_replicas(cls, value: int | None, info: ValidationInfo) -> int | None:
        replicas = info.data.get("qdrant_replicas")
        if value is not None and replicas is not None and value > replicas:
            raise ValueError(f"only {replicas} replicas can confirm a write: lower it or raise MEMOS_QDRANT_REPLICAS")
        return value

    @field_validator("oidc_issuer", "resource_url")
    @classmethod
    def _protected_url(cls, value: str | None) -> str | None:
        """Accept URLs that nobody can answer in the name of their host."""
        if value is None:
            return None
        parts = urlsplit(value)
        if not (value.isascii() and value.isprintable() and parts.hostname) or set(value) & set(' "\\@?#'):
            raise ValueError("must be the URL of a host, with or without a path, and nothing else")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK_HOSTS):
            raise ValueError("must begin with https://, or http:// on 127.0.0.1, localhost or [::1]")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _complete(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Refuse an issuer whose tokens would be accepted for another server, or without a namespace of their own."""
        if value is None:
            return None
        if info.data.get("auth") == "none":
            raise ValueError("protects nothing with MEMOS_AUTH=none: unset one of them")
        if info.data.get("oidc_audience") is None:
            raise ValueError("needs MEMOS_OIDC_AUDIENCE, which its tokens for this server have as `aud`")
        if (info.data.get("oidc_namespace") is None) == (info.data.get("oidc_namespace_claim") is None):
            raise ValueError("needs MEMOS_OIDC_NAMESPACE_CLAIM or MEMOS_OIDC_NAMESPACE, and not both")
        return value

    @field_validator(
        "allowed_hosts",
        "allowed_origins",
        "oidc_algorithms",
        "tool_hosts",
        "tool_private_hosts",
        "trusted_proxies",
        mode="before",
    )
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _raw_value(settings: Settings | None, variable: str) -> str | None:
    """Return a setting, or its default, as its value in an environment."""
    name = variable.removeprefix("MEMOS_").lower()
    value = Settings.model_fields[name].default if settings is None else getattr(settings, name)
    return value.get_secret_value() if isinstance(value, SecretStr) else value
