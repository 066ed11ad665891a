"""The command line: `memos-as`."""
