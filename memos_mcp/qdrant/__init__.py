"""The vector index: one port, an embedded adapter and one for a Qdrant server."""
