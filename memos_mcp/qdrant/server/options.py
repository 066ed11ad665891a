"""How collections on a Qdrant server are created, and how long requests to it may take. Imports no driver."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Quantization: TypeAlias = Literal["none", "int8"]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The operator's choices. None leaves a choice to the configuration of the server.

    quantization: "int8" adds a quarter of the dense vectors' size, in RAM, and searches that.  on_disk: whether the
    dense vectors themselves are read from disk.  timeout: seconds for a search and for connecting.
    """

    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    quantization: Quantization | None = None
    on_disk: bool | None = None
    timeout: int = 5

    @property
    def write_timeout(self) -> int:
        """Seconds for a write. No caller waits for one, and a cluster first has to agree that a node is down."""
        return 6 * self.timeout

    @property
    def collection_timeout(self) -> int:
        """Seconds for a change of collections. A cluster waits all of them for a node that is down, then succeeds.

        By default the same as the server's own, CONSENSUS_META_OP_WAIT of 10 s.
        """
        return 2 * self.timeout


DEFAULT_OPTIONS: Final = ServerOptions()
