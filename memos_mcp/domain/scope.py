"""The identity of the caller. It is bound to the connection and never taken from an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace (which no other namespace can read) and the agent that writes in it."""

    namespace: str
    agent_id: str
