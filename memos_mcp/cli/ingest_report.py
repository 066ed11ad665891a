"""What `memos-as ingest` prints about a run: text, a table on a terminal, or JSON."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TextIO, TypeAlias

from anyio import Event
from tqdm import tqdm

from memos_mcp.cli.console import printable
from memos_mcp.cli.terminal import new_console, new_table
from memos_mcp.services.ingestion import IngestReport

SHOWN_UNREAD: Final = 10

Things: TypeAlias = Literal["files", "commits"]

_MISSING: Final[Mapping[Things, str]] = {"files": "missing in the folder", "commits": "on no branch or tag any more"}


@dataclass(frozen=True, slots=True)
class ReportOutput:
    """Prints reports to the stdout of the moment when it was created.

    list_skipped: name each skipped file instead of counting them.  as_json: print one line of JSON a report.
    """

    list_skipped: bool
    as_json: bool
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def print(self, source: str, things: Things, report: IngestReport, *, written: bool) -> None:
        """Print a report; to stderr also what could not be read or was not removed without confirmation."""
        if self.as_json:
            print(json.dumps(self._record(source, things, report, written=written)), file=self.stream)
        elif self.stream.isatty():
            self._print_table(source, things, report)
        else:
            self._print_text(source, things, report)
        self.stream.flush()
        if not report.complete:
            _print_incomplete(report, things)

    def _record(self, source: str, things: Things, report: IngestReport, *, written: bool) -> dict[str, Any]:
        skipped = [{"path": one.path, "reason": str(one.reason)} for one in report.omitted]
        return {
            "source": source,
            things: {**_counts(report), "kept": report.kept, "unconfirmed": report.unconfirmed},
            "chunks": asdict(report.chunks),
            "skipped": skipped if self.list_skipped else report.reasons(),
            "encodings": dict(report.encodings),
            "unread": [{"path": one.path, "reason": one.error} for one in report.unread],
            "worktrees": report.worktrees,
            "ignored_without_git": report.refusals,
            "written": written,
        }

    def _print_text(self, source: str, things: Things, report: IngestReport) -> None:
        parts = [f"{things}: {_listed(_counts(report))}"]
        if things == "files":
            parts.append(f"chunks: {_listed(asdict(report.chunks))}")
        lines = [f"{printable(source)}: " + "; ".join(parts)]
        if report.encodings:
            lines.append("decoded: " + ", ".join(f"{count:,} {name}" for name, count in report.encodings.most_common()))
        if report.omitted and not self.list_skipped:
            lines.append("skipped: " + ", ".join(f"{count:,} {reason}" for reason, count in report.reasons().items()))
        print(*lines, *self._details(report), sep="\n", file=self.stream)

    def _print_table(self, source: str, things: Things, report: IngestReport) -> None:
        table = new_table(printable(source), "")
        table.add_row(things, _listed(_counts(report)))
        if things == "files":
            table.add_row("chunks", _listed(asdict(report.chunks)))
        for name, count in report.encodings.most_common():
            table.add_row("decoded", f"{count:,} {name}")
        for reason, count in {} if self.list_skipped else report.reasons().items():
            table.add_row("skipped", f"{count:,} {reason}")
        new_console().print(table)
        print(*self._details(report), sep="\n", end="\n" if self._details(report) else "", file=self.stream)

    def _details(self, report: IngestReport) -> list[str]:
        """Return a line for each skipped path, if they are to be listed, and for what git did not decide."""
        lines = []
        if self.list_skipped:
            lines = [f"skipped: {printable(one.path)}: {one.reason}" for one in report.omitted]
        elif report.worktrees:
            lines = ["linked worktrees skipped: " + ", ".join(map(printable, report.worktrees))]
        for path, reason in report.refusals.items():
            lines.append(
                f"ignored files: by .gitignore in {printable(path) or 'the folder'}, because {printable(reason)}"
            )
        return lines


def advance(bar: "tqdm[Any]", stored: Event, report: IngestReport) -> None:
    """Move a progress bar to what a report has counted so far; set `stored` if anything was."""
    bar.update(report.new + report.changed + report.unchanged + len(report.omitted) - bar.n)
    if report.wrote:
        stored.set()


def _counts(report: IngestReport) -> dict[str, int]:
    return {
        "new": report.new,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _print_incomplete(report: IngestReport, things: Things) -> None:
    unread = report.unread
    if unread:
        print(f"memos-as: not read: {len(unread):,}; recorded {things} kept: {report.kept:,}", file=sys.stderr)
    for one in unread[:SHOWN_UNREAD]:
        print(f"not read: {printable(one.path)}: {printable(one.error)}", file=sys.stderr)
    if len(unread) > SHOWN_UNREAD:
        print(f"not read: {len(unread) - SHOWN_UNREAD:,} more; --list-skipped lists all", file=sys.stderr)
    if report.unconfirmed:
        print(
            f"memos-as: {report.unconfirmed:,} of {report.recorded:,} recorded {things} are {_MISSING[things]}, and "
            "none of them was removed. If that is right, run the same command with --yes.",
            file=sys.stderr,
        )
