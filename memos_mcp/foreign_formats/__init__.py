"""Reads the export files of other memories: one module a format. Pure but for the files that it reads."""
