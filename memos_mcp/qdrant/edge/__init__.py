"""The embedded vector index: Qdrant Edge in a worker process."""
