"""Tools: what an agent can register and discover."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import Match
from memos_mcp.domain.limits import check_characters, check_labels, check_name, check_text
from memos_mcp.domain.request_locations import METHODS, Method, method_of
from memos_mcp.domain.tool_request import check_no_secret, check_references, check_request

RegistrationOutcome: TypeAlias = Literal["created", "updated", "unchanged"]
Detail: TypeAlias = Literal["summary", "full"]

MAX_DESCRIPTION_CHARS: Final = 4_000
MAX_URL_CHARS: Final = 1_024
MAX_CAPABILITIES: Final = 64
MAX_CAPABILITY_CHARS: Final = 128
MAX_REQUEST_SCHEMA_CHARS: Final = 30_000
MAX_RESPONSE_SCHEMA_CHARS: Final = 1_000_000
"""No model needs all of a response_schema, so that a large one is kept: it is shown shortened."""

MCP_SCHEME: Final = "mcp://"
"""The endpoint_url of a tool of an MCP server is `mcp://SERVER/TOOL`, with both names percent-encoded."""


@dataclass(frozen=True, slots=True)
class NewTool:
    """A tool to be registered; `check()` it before it is stored.

    method: if None, that of `x-method` in the request_schema, else POST.  auth: the name of a credential.
    source: the name of the OpenAPI document or MCP server that the tool comes from.
    annotations: those of an MCP tool, as its server lists them.
    """

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    required_capabilities: Sequence[str] = ()
    method: Method | None = None
    auth: str | None = None
    source: str | None = None
    annotations: Mapping[str, Any] | None = None

    @property
    def called_by(self) -> Method:
        """The HTTP method of its calls."""
        if self.method is not None:
            return self.method
        named = method_of(None, self.request_schema)
        return next((method for method in METHODS if method == named), "POST")

    def check(self) -> None:
        """Raise `Invalid` when any part cannot be stored exactly. Nothing is fetched."""
        from memos_mcp.domain.schema_dialects import check_schema  # its library takes long to import

        check_name("tool_id", self.tool_id)
        check_name("name", self.name)
        check_text("description", self.description, max_chars=MAX_DESCRIPTION_CHARS)
        if not self._of_server:
            check_endpoint(self.endpoint_url)
        check_capabilities("required_capabilities", self.required_capabilities)
        for label, name in (("auth", self.auth), ("source", self.source)):
            if name is not None:
                check_name(label, name)
        check_no_secret(self.endpoint_url)
        check_schema("request_schema", self.request_schema, max_chars=MAX_REQUEST_SCHEMA_CHARS)
        check_schema("response_schema", self.response_schema, max_chars=MAX_RESPONSE_SCHEMA_CHARS)
        check_references("request_schema", self.request_schema)
        check_references("response_schema", self.response_schema)
        if not self._of_server:
            check_request(self.endpoint_url, self.method, self.request_schema)

    @property
    def _of_server(self) -> bool:
        return self.source is not None and self.endpoint_url.startswith(MCP_SCHEME)


@dataclass(frozen=True, slots=True)
class Tool:
    """A registered tool. `version` starts at 1 and grows with every registration that changed something.

    sequence: grows with every new tool.  enabled: whether agents find it.
    missing: whether it is disabled because its source no longer has it.
    """

    id: UUID
    namespace: str
    tool_id: str
    name: str
    description: str
    endpoint_url: str
    request_schema: Mapping[str, Any] | None
    response_schema: Mapping[str, Any] | None
    required_capabilities: Sequence[str]
    version: int
    sequence: int
    method: Method = "POST"
    auth: str | None = None
    source: str | None = None
    annotations: Mapping[str, Any] | None = None
    enabled: bool = True
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Upserted:
    """The result of an upsert."""

    id: UUID
    outcome: RegistrationOutcome
    version: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration: durable in any case, findable by meaning once `indexed`."""

    tool_id: str
    outcome: RegistrationOutcome
    version: int
    indexed: bool


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """`required`: only tools that require all of these.  `agent_has`: only tools that require nothing else."""

    required: Sequence[str] | None = None
    agent_has: Sequence[str] | None = None

    def check(self) -> None:
        """Raise `Invalid` when a part cannot match anything that can be stored."""
        check_capabilities("required_capabilities", self.required or ())
        check_capabilities("agent_capabilities", self.agent_has or ())


@dataclass(frozen=True, slots=True)
class ToolQuery:
    """A question to the toolbox; several texts are merged round-robin, none at all lists by name."""

    texts: Sequence[str] = ()
    filter: ToolFilter = ToolFilter()
    limit: int = 5


class ToolExperience(NamedTuple):
    """How many near past tasks a tool was used for, and how many of them it worked for."""

    tasks: int
    worked: int


@dataclass(frozen=True, slots=True)
class ToolHit:
    """A tool in an answer, with its score and signals, and how it did for past tasks near the need, if it did."""

    tool: Tool
    score: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    experience: ToolExperience | None = None


@dataclass(frozen=True, slots=True)
class ToolPage:
    """An answer. `withheld` counts tools that ask for a capability which the agent lacks.

    confident: true if the first tool for each need is almost certainly right or is named exactly; false if there is no
    tool at all; None if unknown, which is usual.
    judged: whether the cosines say anything about each need: meaning was searched, and the model reads their script.
    """

    hits: Sequence[ToolHit]
    total: int
    withheld: int
    confident: bool | None = None
    degraded: str | None = None
    judged: bool = False


class ToolStore(Protocol):
    """The record of tools. Disabled tools are returned by `every` and `of_source` only."""

    async def upsert(self, namespace: str, new: NewTool, now: datetime) -> Upserted:
        """Register or update a tool. One that was missing in its source is enabled again."""

    async def delete(self, namespace: str, tool_ids: Sequence[str]) -> list[str]:
        """Delete these tools, enabled or not; return the ids of those that there were."""

    async def set_enabled(self, namespace: str, tool_ids: Sequence[str], *, enabled: bool) -> list[str]:
        """Enable or disable these tools for an operator; return the ids of those that there are."""

    async def mark_missing(self, namespace: str, tool_ids: Sequence[str]) -> list[str]:
        """Disable the enabled ones of these tools because their source no longer has them; return their ids."""

    async def every(self, namespace: str) -> list[Tool]:
        """Return all tools by tool_id, disabled ones too."""

    async def of_source(self, namespace: str, source: str) -> list[Tool]:
        """Return the tools of a source by tool_id, disabled ones too."""

    async def namespaces_of(self, source: str) -> list[str]:
        """Return the namespaces that have tools of a source."""

    async def get(self, namespace: str, ids: Sequence[UUID], filter: ToolFilter) -> dict[UUID, Tool]:
        """Return those in this namespace that pass the filter: the final decision on every candidate."""

    async def named(self, namespace: str, texts: Sequence[str], filter: ToolFilter) -> list[Tool]:
        """Return the tools whose tool_id, or name in any case, is exactly one of these; ids first."""

    async def by_name(self, namespace: str, filter: ToolFilter, limit: int) -> list[Tool]: ...

    async def count(self, namespace: str, filter: ToolFilter) -> int: ...

    async def text_search(
        self, namespace: str, text: str, filter: ToolFilter, limit: int, *, queued_only: bool
    ) -> list[Match]:
        """Rank by Postgres full-text search; `queued_only` searches only what is not in the index yet."""

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Tool]:
        """Return those that the index should hold, of any namespace."""


def check_capabilities(field: str, capabilities: Sequence[str]) -> None:
    """Refuse capabilities that are too many, blank or unprintable."""
    check_labels(field, capabilities, max_count=MAX_CAPABILITIES, max_chars=MAX_CAPABILITY_CHARS)


def check_endpoint(url: str) -> None:
    """Refuse what is not a plain http(s) URL with a host and without credentials."""
    check_characters("endpoint_url", url)
    if len(url) > MAX_URL_CHARS:
        raise Invalid(f"endpoint_url has {len(url):,} characters; the limit is {MAX_URL_CHARS:,}.")
    if not url.isprintable() or " " in url:
        raise Invalid("endpoint_url holds a space or a control character. Percent-encode it.")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Invalid("endpoint_url is not a valid URL. Use the form https://host/path.") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise Invalid("endpoint_url must start with http:// or https:// and name a host.")
    if "@" in parts.netloc:
        raise Invalid(
            "endpoint_url holds credentials, and every agent is shown it. Remove them, have the operator store them "
            "(memos-as credential set NAME --host HOST --basic), and give the NAME as `auth`."
        )
