"""Data files, which are described in a summary instead of being stored."""
