"""Reads the files of a folder for memories: selects them, scans them for secrets, and cuts them into chunks."""
