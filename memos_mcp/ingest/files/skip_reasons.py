"""The reasons to skip a file or folder."""

from enum import StrEnum


class SkipReason(StrEnum):
    """Why a file or folder is not ingested; the values are for people."""

    IGNORED = "ignored by git"
    EXCLUDED = "excluded by --exclude"
    MEMOSIGNORE = "excluded by .memosignore"
    FOREIGN = "fetched, built or cached"
    LINK = "symbolic link"
    SPECIAL = "not a regular file"
    EMPTY = "empty"
    TOO_LARGE = "too large"
    BINARY = "binary"
    UNKNOWN_ENCODING = "in an unknown encoding"
    MALFORMED = "not readable in the format of its name"
    UNFINISHED = "not read in time"
    WITHOUT_TEXT = "without a text"
    NEEDS_EXTRA = "needs the extra `documents`"
    GENERATED = "generated"
    LONG_LINE = "has a line of more than 20,000 characters"
    SECRET = "may hold a secret"  # noqa: S105 - a reason, not a password
    WORKTREE = "linked worktree"
    UNREADABLE = "could not be read"
    NEW = "appeared while the folder was read"
    UNNAMEABLE = "its name cannot be written"
    CHANGING = "changed while it was read"
    VANISHED = "vanished while it was read"
