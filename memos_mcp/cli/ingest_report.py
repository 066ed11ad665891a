"""What `memos-as ingest` prints about a run."""

import sys
from typing import Final

from memos_mcp.cli.console import printable
from memos_mcp.services.ingestion import IngestReport

SHOWN_UNREAD: Final = 10


def print_report(source: str, report: IngestReport, *, list_skipped: bool) -> None:
    """Print the counts of a run, and what was skipped: each file, or how many for each reason."""
    chunks = report.chunks
    print(
        f"{printable(source)}: files: {report.new:,} new, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged, {report.removed:,} removed; chunks: {chunks.created:,} created, "
        f"{chunks.kept:,} kept, {chunks.moved:,} moved, {chunks.removed:,} removed"
    )
    _print_skipped(report, list_skipped=list_skipped)
    if report.worktrees and not list_skipped:
        print("linked worktrees skipped: " + ", ".join(map(printable, report.worktrees)))
    for path, reason in report.refusals.items():
        print(f"ignored files: by .gitignore in {printable(path) or 'the folder'}, because {printable(reason)}")
    sys.stdout.flush()


def print_commits(source: str, report: IngestReport, *, list_skipped: bool) -> None:
    """Print the counts of a run on the commits of a source, and what was skipped."""
    print(
        f"{printable(source)}: commits: {report.new:,} new, {report.changed:,} changed, "
        f"{report.unchanged:,} unchanged, {report.removed:,} removed"
    )
    _print_skipped(report, list_skipped=list_skipped)
    sys.stdout.flush()


def _print_skipped(report: IngestReport, *, list_skipped: bool) -> None:
    if list_skipped:
        for skipped in report.omitted:
            print(f"skipped: {printable(skipped.path)}: {skipped.reason}")
    elif report.omitted:
        print("skipped: " + ", ".join(f"{count:,} {reason}" for reason, count in report.reasons().items()))


def print_incomplete(report: IngestReport) -> None:
    """Print to stderr what could not be read, and what was not removed without confirmation."""
    _print_incomplete(report, "files", "missing in the folder")


def print_incomplete_commits(report: IngestReport) -> None:
    """Print to stderr which commits could not be read, and how many were not removed without confirmation."""
    _print_incomplete(report, "commits", "on no branch or tag any more")


def _print_incomplete(report: IngestReport, things: str, missing: str) -> None:
    unread = report.unread
    if unread:
        print(f"memos-as: not read: {len(unread):,}; recorded {things} kept: {report.kept:,}", file=sys.stderr)
    for one in unread[:SHOWN_UNREAD]:
        print(f"not read: {printable(one.path)}: {printable(one.error)}", file=sys.stderr)
    if len(unread) > SHOWN_UNREAD:
        print(f"not read: {len(unread) - SHOWN_UNREAD:,} more; --list-skipped lists all", file=sys.stderr)
    if report.unconfirmed:
        print(
            f"memos-as: {report.unconfirmed:,} of {report.recorded:,} recorded {things} are {missing}, and "
            "none of them was removed. If that is right, run the same command with --yes.",
            file=sys.stderr,
        )
