"""Starts mcp-server-qdrant as its own command does, but without an embedding model.

The server builds its model before it reads the first line, and exits when it cannot download it. `initialize` needs no
model, so none is loaded here. Everything else is imported and started as always, so this can only make it faster than
it is with a model.
"""

from mcp_server_qdrant.embeddings import fastembed  # type: ignore[import-not-found]  # installed only where this runs
from mcp_server_qdrant.main import main  # type: ignore[import-not-found]  # installed only where this runs


class NoModel:
    """Replaces fastembed's `TextEmbedding`; a call that embeds fails."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name


if __name__ == "__main__":
    fastembed.TextEmbedding = NoModel
    main()
