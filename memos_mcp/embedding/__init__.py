"""The models that read texts: fastembed and the packaged weights."""
