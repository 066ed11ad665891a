"""The identity of the caller. It is bound to the connection or the request, and never taken from an argument."""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

Right: TypeAlias = Literal["read", "write", "tools", "admin"]
"""What a caller may do: read memories and find tools; write memories; change and call tools; operate the server."""

ALL_RIGHTS: Final[frozenset[Right]] = frozenset(get_args(Right))


@dataclass(frozen=True, slots=True)
class Client:
    """The program through which an agent calls, as it names itself in the MCP handshake, and the transport."""

    name: str | None = None
    version: str | None = None
    transport: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace (which no other namespace can read), the agent that writes in it, its client and its rights.

    Two scopes are equal whichever client, rights and access token: rights are checked where a call arrives, and the
    others are known to the history and the audit trail only. token_id: what is shown of the token, and no secret.
    """

    namespace: str
    agent_id: str
    client: Client = field(default=Client(), compare=False)
    rights: frozenset[Right] = field(default=ALL_RIGHTS, compare=False)
    token_id: str | None = field(default=None, compare=False)
