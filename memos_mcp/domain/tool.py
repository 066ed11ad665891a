"""Tools: what an agent can register and discover."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.index import Entry, Match, Passage, Where
from memos_mcp.domain.json_schema import check_schema
from memos_mcp.domain.limits import check_characters, check_labels, check_name, check_text

Outcome: TypeAlias = Literal["created", "updated", "unchanged"]
Detail: TypeAlias = Literal["summary", "full"]

MAX_DESCRIPTION_CHARS: Final = 4_000
MAX_URL_CHARS: Final = 1_024
MAX_CAPABILITIES: Final = 64
MAX_CAPABILITY_CHARS: Final = 128
MAX_SCHEMAS_CHARS: Final = 30_000

_NAMED_SCHEMAS: Final = frozenset({"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"})
"""Keywords whose keys are names, not keywords: a property may well be called `default`."""

_EXAMPLES: Final = frozenset({"example", "examples", "default", "enum", "const"})
"""Keywords that hold values, not schemas."""


@dataclass(frozen=True, slots=True)
class NewTool:
    """A tool as it is handed in; `check()` it before it is stored."""

    tool_id: str
    name: str
    description: str
    endpoint_url: str
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    required_capabilities: Sequence[str] = ()

    def check(self) -> None:
        """Raise `Invalid` when any part cannot be stored exactly as it is. Nothing is fetched."""
        check_name("tool_id", self.tool_id)
        check_name("name", self.name)
        check_text("description", self.description, max_chars=MAX_DESCRIPTION_CHARS)
        check_endpoint(self.endpoint_url)
        check_capabilities("required_capabilities", self.required_capabilities)
        sizes = (
            check_schema("request_schema", self.request_schema, max_chars=MAX_SCHEMAS_CHARS),
            check_schema("response_schema", self.response_schema, max_chars=MAX_SCHEMAS_CHARS),
        )
        if sum(sizes) > MAX_SCHEMAS_CHARS:
            raise Invalid(
                f"request_schema and response_schema have {sum(sizes):,} characters together; "
                f"the limit is {MAX_SCHEMAS_CHARS:,}. Shorten their descriptions or examples."
            )


@dataclass(frozen=True, slots=True)
class Tool:
    """A registered tool. `version` starts at 1 and grows with every registration that changed something."""

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


@dataclass(frozen=True, slots=True)
class Upserted:
    """What became of a `NewTool` in the record."""

    id: UUID
    outcome: Outcome
    version: int


@dataclass(frozen=True, slots=True)
class Registered:
    """The answer to a registration: durable in any case, findable by meaning once `indexed`."""

    tool_id: str
    outcome: Outcome
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


@dataclass(frozen=True, slots=True)
class ToolHit:
    """A tool in an answer, and why it is there."""

    tool: Tool
    score: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolPage:
    """An answer. `withheld` counts tools that ask for a capability which the agent lacks.

    confident: whether each need has a tool that stands out; None in a listing, and where meaning could not be asked.
    """

    hits: Sequence[ToolHit]
    total: int
    withheld: int
    confident: bool | None = None
    degraded: str | None = None


class ToolStore(Protocol):
    """The record of tools. Disabled tools are never returned."""

    async def upsert(self, namespace: str, new: NewTool, now: datetime) -> Upserted: ...

    async def get(self, namespace: str, ids: Sequence[UUID], filter: ToolFilter) -> dict[UUID, Tool]:
        """Return those in this namespace that pass the filter: the last word on every candidate."""
        ...

    async def named(self, namespace: str, texts: Sequence[str], filter: ToolFilter) -> list[Tool]:
        """Return the tools whose tool_id, or name in any case, is exactly one of these; ids first."""
        ...

    async def by_name(self, namespace: str, filter: ToolFilter, limit: int) -> list[Tool]: ...

    async def count(self, namespace: str, filter: ToolFilter) -> int: ...

    async def text_search(
        self, namespace: str, text: str, filter: ToolFilter, limit: int, *, waiting_only: bool
    ) -> list[Match]:
        """Rank by Postgres full-text search; `waiting_only` asks only what is not in the index yet."""
        ...

    async def current(self, ids: Sequence[UUID]) -> dict[UUID, Tool]:
        """Return those that the index should hold, of any namespace."""
        ...

    async def versions(self) -> dict[UUID, int]: ...


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
        raise Invalid("endpoint_url holds credentials. Remove them: a registered URL is shown to every agent.")


def entry(tool: Tool, passages: Sequence[Passage]) -> Entry:
    """Return what the index holds of a tool: passages, and what can be filtered on."""
    words = {"required_capabilities": tool.required_capabilities}
    return Entry(tool.id, tool.version, tool.namespace, passages, words)


def where(namespace: str, filter: ToolFilter) -> Where:
    """Return the index's form of a filter."""
    return Where(
        namespace,
        has_all={"required_capabilities": filter.required} if filter.required else {},
        none_but={} if filter.agent_has is None else {"required_capabilities": filter.agent_has},
    )


def document(tool: Tool) -> str:
    """Return the text whose meaning stands for a tool: names and description, identifiers split.

    Not the parameters: they blur what a tool is for, and their words are in its wording.
    """
    names = {spoken(tool.name): None, spoken(tool.tool_id): None}
    return f"{'. '.join(names)}: {tool.description}"


def wording(tool: Tool, _passage: str) -> str:
    """Return the text by whose words a tool is found, whichever passage: its document, and what its schema says.

    Of the schema: its title and description, for example of the server that the tool is from, and its parameters.
    """
    schema = tool.request_schema or {}
    about = [text for text in (schema.get("title"), schema.get("description")) if isinstance(text, str)]
    parameters = [f"{name}: {text}" if text else name for name, text in _parameters(schema)]
    return "\n".join([document(tool), *about, *parameters])


def spoken(identifier: str) -> str:
    """Write an identifier as words: `getUser_by-ID` becomes `getUser_by-ID get User by ID`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\-./:]+", " ", identifier).split()
    return identifier if words == identifier.split() else f"{identifier} {' '.join(words)}"


def _parameters(schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the properties of a schema and of the schemas inside it, with their descriptions."""
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, Mapping):
            for keyword, child in part.items():
                if keyword in _NAMED_SCHEMAS and isinstance(child, Mapping):
                    pending.extend(child.values())
                elif keyword not in _EXAMPLES:
                    pending.append(child)
            properties = part.get("properties")
            for name, child in properties.items() if isinstance(properties, Mapping) else ():
                text = child.get("description") if isinstance(child, Mapping) else None
                yield spoken(str(name)), text if isinstance(text, str) else ""
