"""The embedding model: fastembed and the packaged weights."""
