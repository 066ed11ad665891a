"""Reads a folder for memories: which files, what they hold, and where they are cut."""
