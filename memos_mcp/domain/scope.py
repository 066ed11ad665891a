"""Who is asking: bound to the connection, never taken from an argument."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """A namespace (which nobody outside can read) and the agent that writes in it."""

    namespace: str
    agent_id: str
