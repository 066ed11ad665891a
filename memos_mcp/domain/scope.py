"""The identity of the caller. It is bound to the connection and never taken from an argument."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Client:
    """The program through which an agent calls, as it names itself in the MCP handshake, and the transport."""

    name: str | None = None
    version: str | None = None
    transport: str | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace (which no other namespace can read), the agent that writes in it, and its client.

    Two scopes are equal whichever client: that is known to the history only.
    """

    namespace: str
    agent_id: str
    client: Client = field(default=Client(), compare=False)
