"""Runs the official conformance suite against `memos-as serve` as it is, in both of its protocol eras.

`scenarios.json` says of each scenario whether it runs, or why not: it needs a tool, prompt or resource made for the
suite, or something that the server does not offer. The exit code is 1 when a check of a scenario that runs fails or
warns, when nothing of it was really checked, or when the suite holds a scenario that the file does not know.
"""
# ruff: noqa: T201 - prints tables

import argparse
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import CACHE, COMMAND, FOLDER, Failed, fresh_home, http_server, run, tail

REVISIONS = ("2025-11-25", "2026-07-28")
SCENARIOS: dict[str, dict[str, Any]] = json.loads((FOLDER / "scenarios.json").read_text())
SUITE_SECONDS = 300.0

ALWAYS = "wire-schema-valid"
"""A check that every scenario passes, even when no server is there: it counts for nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the suite found in one scenario: how many checks passed, were left out by us, and what went wrong."""

    passed: int
    left_out: int
    troubles: Sequence[str]

    @property
    def good(self) -> bool:
        return self.passed > 0 and not self.troubles


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--command", default=shlex.join(COMMAND), help="the server to test (default: this checkout's)")
    arguments = parser.parse_args()
    good = True
    try:
        with fresh_home() as home, http_server(home, shlex.split(arguments.command)) as url:
            for revision in REVISIONS:
                good &= report(revision, examine(f"{url}/mcp", revision, home.path / revision))
    except Failed as failed:
        print(failed)
        good = False
    explain()
    return 0 if good else 1


def examine(url: str, revision: str, output: Path) -> dict[str, list[dict[str, Any]]]:
    """Let the suite run everything that belongs to a revision; return the checks of each scenario."""
    suite = CACHE / "node_modules/.bin/conformance"
    ran = run([suite, "server", "--url", url, "--requirements", revision, "-o", output], seconds=SUITE_SECONDS)
    found = {}
    for file in sorted(output.glob("*/checks.json")):
        scenario = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)
        if scenario is not None:
            found[scenario[1]] = json.loads(file.read_text())
    if not found:
        raise Failed(f"the conformance suite left no results: {tail(ran.stderr or ran.stdout)}")
    return found


def report(revision: str, found: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Print what came of the scenarios that run; return whether all is well."""
    outcomes = {name: judge(name, checks) for name, checks in found.items() if "runs" in SCENARIOS.get(name, {})}
    print(f"{revision}\n{'':4}{'scenario':46}{'passed':>7}{'failed':>7}{'left out':>9}")
    for name, outcome in outcomes.items():
        mark = "" if outcome.good else "  FAILED" if outcome.troubles else "  NOTHING CHECKED"
        print(f"{'':4}{name:46}{outcome.passed:7}{len(outcome.troubles):7}{outcome.left_out:9}{mark}")
        for trouble in outcome.troubles:
            print(f"{'':8}{trouble}")
    unknown = sorted(found.keys() - SCENARIOS.keys())
    for name in unknown:
        print(f"{'':4}{name}: scenarios.json does not say whether it runs")
    good = sum(outcome.good for outcome in outcomes.values())
    checks = sum(outcome.passed for outcome in outcomes.values())
    print(
        f"{'':4}{good} of {len(outcomes)} scenarios pass, with {checks} checks; {len(found) - len(outcomes)} left out\n"
    )
    return bool(outcomes) and good == len(outcomes) and not unknown


def judge(name: str, checks: Sequence[Mapping[str, Any]]) -> Outcome:
    """Count the checks of one scenario; a warning is a failure, and so is a check left out that would pass."""
    left_out = SCENARIOS[name].get("checks_left_out", {})
    counted = Counter(check["status"] for check in checks if check["id"] not in {ALWAYS, *left_out})
    return Outcome(counted["SUCCESS"], len(left_out), list(troubles(checks, left_out)))


def troubles(checks: Sequence[Mapping[str, Any]], left_out: Mapping[str, str]) -> Iterator[str]:
    """Say what went wrong in one scenario."""
    for check in checks:
        if check["id"] in left_out:
            if check["status"] == "SUCCESS":
                yield f"{check['id']}: passes, so it need not be left out"
        elif check["status"] in {"FAILURE", "WARNING"}:
            yield f"{check['id']}: {check.get('errorMessage') or check.get('description')}"
    for name in sorted(left_out.keys() - {check["id"] for check in checks}):
        yield f"{name}: left out, but the suite does not have it"


def explain() -> None:
    """Print why scenarios and checks are left out."""
    print("Left out, as the scenario needs what is made for it:")
    for name, entry in SCENARIOS.items():
        if "needs" in entry:
            print(f"{'':4}{name:46}{', '.join(entry['needs'])}{remark(entry)}")
    print("\nLeft out, as the server does not offer it:")
    for name, entry in SCENARIOS.items():
        if "not_offered" in entry:
            print(f"{'':4}{name:46}{entry['not_offered']}{remark(entry)}")
    print("\nChecks left out of scenarios that run:")
    for entry in SCENARIOS.values():
        for name, reason in entry.get("checks_left_out", {}).items():
            print(f"{'':4}{name:56}{reason}")


def remark(entry: Mapping[str, Any]) -> str:
    """Say of a scenario that it would pass all the same, and why that means nothing."""
    return f" (passes without, but {entry['passes_without']})" if "passes_without" in entry else ""


if __name__ == "__main__":
    sys.exit(main())
