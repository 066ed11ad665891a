"""Runs the official conformance suite against an unchanged `memos-as serve`, in both of its protocol eras.

`scenarios.json` defines which scenarios run, and why others do not: they need a tool, prompt or resource made for the
suite, or something that the server does not offer. The exit code is 1 if a check of a scenario that runs fails or
warns, if a scenario checked nothing, or if the suite has a scenario that is missing from the file.
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
"""A check that every scenario passes, even without a server: it is not counted."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one scenario: the number of checks that passed and that we left out, and the problems."""

    passed: int
    left_out: int
    problems: Sequence[str]

    @property
    def good(self) -> bool:
        return self.passed > 0 and not self.problems


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
    """Run all scenarios of a revision; return the checks of each."""
    suite = CACHE / "node_modules/.bin/conformance"
    ran = run([suite, "server", "--url", url, "--requirements", revision, "-o", output], seconds=SUITE_SECONDS)
    found = {}
    for file in sorted(output.glob("*/checks.json")):
        scenario = re.fullmatch(r"server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z", file.parent.name)
        if scenario is not None:
            found[scenario[1]] = json.loads(file.read_text())
    if not found:
        raise Failed(f"the conformance suite wrote no results: {tail(ran.stderr or ran.stdout)}")
    return found


def report(revision: str, found: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Print the results of the scenarios that run; return whether all of them passed."""
    outcomes = {name: judge(name, checks) for name, checks in found.items() if "runs" in SCENARIOS.get(name, {})}
    print(f"{revision}\n{'':4}{'scenario':46}{'passed':>7}{'failed':>7}{'left out':>9}")
    for name, outcome in outcomes.items():
        mark = "" if outcome.good else "  FAILED" if outcome.problems else "  NOTHING CHECKED"
        print(f"{'':4}{name:46}{outcome.passed:7}{len(outcome.problems):7}{outcome.left_out:9}{mark}")
        for problem in outcome.problems:
            print(f"{'':8}{problem}")
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
    """Count the checks of one scenario. A warning is a failure, as is a left-out check that passes."""
    left_out = SCENARIOS[name].get("checks_left_out", {})
    counted = Counter(check["status"] for check in checks if check["id"] not in {ALWAYS, *left_out})
    return Outcome(counted["SUCCESS"], len(left_out), list(find_problems(checks, left_out)))


def find_problems(checks: Sequence[Mapping[str, Any]], left_out: Mapping[str, str]) -> Iterator[str]:
    """Yield the problems of one scenario."""
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
    print("Left out, as the scenario needs parts made for it:")
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
    """Return a note on a scenario that would pass anyway, with the reason why that proves nothing."""
    return f" (passes without, but {entry['passes_without']})" if "passes_without" in entry else ""


if __name__ == "__main__":
    sys.exit(main())
