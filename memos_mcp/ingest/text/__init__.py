"""Text of any file: its encoding, lines, headings and parts."""
