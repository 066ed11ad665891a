"""Prints how many operations of OpenAPI documents become tools, and how many of those can be called by their shape.

    python benchmarks/openapi_documents.py FOLDER|FILE...

An operation can be called when arguments that its request_schema permits, the required ones and all of them, make a
request that says the same: nothing of the template remains, every argument is in the request where the document has
it, and the body is of the content type that it names. Nothing is sent.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from sample_arguments import sample_arguments

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.tool import NewTool
from memos_mcp.openapi.api_tools import Choices, tools_of
from memos_mcp.tool_calling.called_tool import CalledTool
from memos_mcp.tool_calling.one_way import relaxed
from memos_mcp.tool_calling.outcomes import BadArguments, CallFailed
from memos_mcp.tool_calling.requests import HttpRequest, request_of
from memos_mcp.tool_calling.schema_check import UnusableSchema, find_violation

SUFFIXES: Final = {".json", ".yaml", ".yml"}
BAR: Final = 0.95
SHOWN: Final = 12
NAMED: Final = 3
OTHER_BODY: Final = "only JSON, forms and multipart can be sent."
CONTENT_TYPES: Final = {"form": "application/x-www-form-urlencoded", "multipart": "multipart/form-data"}


@dataclass
class Score:
    """The figures of one document."""

    operations: int = 0
    other_bodies: int = 0
    added: int = 0
    callable: int = 0
    reasons: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    changes: Counter[str] = field(default_factory=Counter)

    @property
    def possible(self) -> int:
        """The operations with JSON, a form or no body."""
        return self.operations - self.other_bodies


def measure(path: Path) -> Score:
    """Return the figures of a document; raise `Invalid` when it is none."""

    def read_file(relative: str) -> bytes:
        try:
            return (path.parent / relative).read_bytes()
        except OSError as error:
            raise Invalid(str(error)) from error

    api = tools_of(path.read_bytes(), path.name, Choices(read_file=read_file, address="https://api.test/"))
    score = Score(operations=api.operations, added=len(api.tools))
    for finding in api.findings:
        if finding.effect == "not added":
            score.reasons[f"not added: {finding.reason}"].append(finding.operation or "")
            score.other_bodies += finding.reason.endswith(OTHER_BODY)
        elif finding.effect == "changed":
            score.changes[finding.reason] += 1
    for tool in api.tools.values():
        reasons = list(dict.fromkeys(_reasons(tool)))
        score.callable += not reasons
        for reason in reasons:
            score.reasons[reason].append(tool.tool_id)
    return score


def _reasons(tool: NewTool) -> Iterator[str]:
    """Yield why a tool cannot be called, if it cannot."""
    called = CalledTool(tool.tool_id, tool.endpoint_url, tool.called_by, tool.request_schema, tool.response_schema)
    schema = tool.request_schema or {}
    for full in (False, True):
        arguments = sample_arguments(schema, full=full)
        try:
            violation = find_violation(relaxed(schema, "readOnly"), arguments)
            if violation is not None:
                yield f"no valid arguments were found ({'all' if full else 'required ones'}): {violation[:100]}"
                continue
            request = request_of(called, arguments)
        except (BadArguments, CallFailed, UnusableSchema) as error:
            yield f"no request: {str(error)[:100]}"
        else:
            yield from _differences(tool, arguments, request)


def _differences(tool: NewTool, arguments: Mapping[str, Any], request: HttpRequest) -> Iterator[str]:
    """Yield what a request does not say of the arguments, or says otherwise than the document."""
    schema = tool.request_schema or {}
    names: dict[str, set[str]] = {"query": set(), "header": set(), "body": set()}
    default = "query" if tool.called_by in {"GET", "HEAD", "DELETE"} else "body"
    for name in arguments:
        definition = schema["properties"][name]
        if f"{{{name}}}" not in tool.endpoint_url and arguments[name] is not None:
            names[definition.get("x-in", default)].add(definition.get("x-name", name))
    parts = urlsplit(request.url)
    if "{" in request.url or "%7B" in parts.path or parts.netloc != urlsplit(tool.endpoint_url).netloc:
        yield "a template remains in the URL"
    if request.method != tool.called_by:
        yield "another method"
    sent = {name.split("[")[0] for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    if any(_is_plain(schema, name) and name not in sent for name in names["query"]):
        yield "a query parameter is missing"
    if missing := names["header"] - set(request.headers):
        yield f"the header {min(missing)} is missing"
    yield from _body_differences(schema, arguments, names["body"], request)


def _body_differences(
    schema: Mapping[str, Any], arguments: Mapping[str, Any], names: set[str], request: HttpRequest
) -> Iterator[str]:
    kind, whole = schema.get("x-body", "json"), schema.get("x-body-property")
    wanted = schema.get("x-content-type", CONTENT_TYPES.get(kind, "application/json"))
    if not names:
        return
    if request.content is None or not request.headers["Content-Type"].startswith(wanted):
        yield f"the body is not {wanted}"
    elif kind == "json":
        sent = json.loads(request.content)
        expected = arguments[whole] if whole else {name: arguments[name] for name in names}
        if sent != expected and not request.unsent:
            yield "the body is another one"


def _is_plain(schema: Mapping[str, Any], name: str) -> bool:
    """Whether a parameter appears in the query under its own name: objects and empty lists may not."""
    return schema["properties"].get(name, {}).get("type") in {"string", "integer", "number", "boolean"}


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]


def _print(path: Path, score: Score, seconds: float) -> None:
    share = score.callable / max(score.possible, 1)
    verdict = "met" if share >= BAR else "MISSED"
    print(
        f"{path.name}: {score.operations:,} operations, {score.added:,} added; of {score.possible:,} with JSON, a form "
        f"or no body, {score.callable:,} can be called ({share:.1%}, bar {BAR:.0%}: {verdict}); {seconds:.1f} s"
    )
    for reason, operations in list(score.reasons.items())[:SHOWN]:
        more = "" if len(operations) <= NAMED else f" and {len(operations) - NAMED:,} more"
        print(f"  {reason} ({', '.join(operations[:NAMED])}{more})")
    for change, count in score.changes.most_common(SHOWN):
        print(f"  changed: {change[:140]} ({count:,})")


def main() -> int:
    """Print the figures of every document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, metavar="FOLDER|FILE", help="OpenAPI documents")
    paths = parser.parse_args().paths
    if not paths:
        print("Nothing to measure: name OpenAPI documents, or a folder of them.")
    for path in _files(paths):
        started = time.perf_counter()
        try:
            score = measure(path)
        except Invalid as error:
            print(f"{path.name}: {error}")
        else:
            _print(path, score, time.perf_counter() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
