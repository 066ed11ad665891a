"""The text of notebooks, pages, PDF and office files, in parts."""
