"""Checks values against schemas whose patterns may never end: in a process that is killed after some seconds.

A regular expression holds the interpreter lock for as long as it runs, so neither a thread nor a timeout bounds it.
Run as a program, this module checks one value: JSON in, JSON out.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.json_schema import parts
from memos_mcp.tool_calling.schema_check import UnusableSchema, find_violation

GUARD_SECONDS: Final = 4.0
HARMLESS_CHARS: Final = 2_000
"""A pattern that repeats one thing only is quadratic at worst: this much takes milliseconds."""

_REPEATS: Final = re.compile(r"[*+]|\{\d*,\d*\}")
_REPEATED_GROUP: Final = re.compile(r"\)[*+?{]")


def find_guarded_violation(schema: Mapping[str, Any], value: Any) -> str | None:
    """Do as `find_violation`, within some seconds; raise `UnusableSchema` if the patterns of the schema take longer."""
    if not may_run_away(schema, value):
        return find_violation(schema, value)
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and this module
            [sys.executable, "-P", "-m", __name__],
            input=json.dumps([schema, value]).encode(),
            capture_output=True,
            timeout=GUARD_SECONDS,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        raise UnusableSchema("its patterns cannot be checked in time") from None
    violation, reason = json.loads(done.stdout)
    if reason is not None:
        raise UnusableSchema(reason)
    return str(violation) if violation is not None else None


def may_run_away(schema: Mapping[str, Any], value: Any) -> bool:
    """Return whether a pattern of the schema may take long on the texts of the value."""
    patterns = set(_patterns(schema))
    if any(len(_REPEATS.findall(pattern)) > 1 or _REPEATED_GROUP.search(pattern) for pattern in patterns):
        return True
    return bool(patterns) and len(json.dumps(value)) > HARMLESS_CHARS


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    for part in parts(schema):
        if isinstance(pattern := part.get("pattern"), str):
            yield pattern
        if isinstance(named := part.get("patternProperties"), Mapping):
            yield from map(str, named)


def main() -> None:
    """Check the value of standard input against its schema; print the violation, or why the schema is unusable."""
    schema, value = json.load(sys.stdin.buffer)
    violation = reason = None
    try:
        violation = find_violation(schema, value)
    except UnusableSchema as flaw:
        reason = str(flaw)
    sys.stdout.write(json.dumps([violation, reason]))


if __name__ == "__main__":
    main()
