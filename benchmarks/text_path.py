"""Prints the files of the package through which a memory's content and a query's text pass, by tracing one of each.

    python benchmarks/text_path.py [--json]

A file counts when a function in it takes, holds or returns the text. The index worker, a process of its own, is traced
too. The content is a short one in a session whose index has it alone: no passages are cut and no neighbours are read.
"""

import json
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
from mcp import Client
from pydantic import BaseModel

import memos_mcp

PACKAGE = Path(memos_mcp.__file__).parent
CONTENT, QUERY = "The zanzibarine ferry departs at noon.", "When does the quartzwold ferry depart?"
WORDS = ("zanzibarine", "quartzwold")
"""One that only the content has, and one that only the query has."""

MAX_DEPTH = 8
INDEXED_SECONDS = 30
WORKER = """#!{python}
import runpy, sys
sys.path[:0] = [{folder!r}, {root!r}]
sys.argv[1:] = sys.argv[3:]
import text_path
files = text_path.trace()
try:
    runpy.run_module("memos_mcp.qdrant.edge.worker", run_name="__main__", alter_sys=True)
finally:
    text_path.write(files, {report!r})
"""
"""Stands for the Python that runs the worker: `-m MODULE` is dropped, the other arguments are the worker's."""


def holds(word: str, value: Any, depth: int = 0) -> bool:
    """Whether a word is in a value, its items or its fields."""
    if isinstance(value, str):
        return word in value
    if isinstance(value, bytes | bytearray):
        return word.encode() in value
    if depth == MAX_DEPTH or isinstance(value, type):
        return False
    return any(holds(word, part, depth + 1) for part in parts(value))


def parts(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set):
        yield from value
    elif is_dataclass(value):
        yield from (getattr(value, field.name, None) for field in fields(value))
    elif isinstance(value, BaseModel):
        yield from (getattr(value, name) for name in type(value).model_fields)


def trace() -> dict[str, list[str]]:
    """Start tracing this process; return the files that hold each word, which grow as files are met."""
    found: dict[str, list[str]] = {word: [] for word in WORDS}

    def profile(frame: FrameType, event: str, result: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event not in {"call", "return"} or not path.is_relative_to(PACKAGE):
            return
        values = [*frame.f_locals.values(), result if event == "return" else None]
        file = path.relative_to(PACKAGE).as_posix()
        for word, files in list(found.items()):
            if file not in files and any(holds(word, value) for value in values):
                files.append(file)

    threading.setprofile(profile)
    sys.setprofile(profile)
    return found


def write(found: Mapping[str, list[str]], report: str) -> None:
    sys.setprofile(None)
    Path(report).write_text(json.dumps(found))


async def paths() -> list[list[str]]:
    """Return the files that a stored content passes until it is indexed, and those that a query passes."""
    from memos_mcp.app import assemble, running
    from memos_mcp.domain.scope import Scope
    from memos_mcp.mcp_server.server import build_server
    from memos_mcp.settings import Settings

    with tempfile.TemporaryDirectory(prefix="memos-path-") as folder:
        report, python = Path(folder, "report.json"), Path(folder, "python")
        real, sys.executable = sys.executable, str(python)
        python.write_text(
            WORKER.format(python=real, folder=str(Path(__file__).parent), root=str(PACKAGE.parent), report=str(report))
        )
        python.chmod(stat.S_IRWXU)
        app = assemble(Settings(home=Path(folder, "home")))
        found = trace()
        try:
            async with running(app), Client(build_server(app, Scope("default", "default"))) as client:
                with anyio.fail_after(INDEXED_SECONDS):
                    await app.indexer.wait_until_opened()
                    await client.call_tool("store_memory", {"content": CONTENT})
                    await app.indexer.wait_until_idle()
                    stored = found.pop(WORDS[0])  # from here on, the content is part of an answer
                    await client.call_tool("query_memory", {"query": QUERY})
        finally:
            sys.executable = real
            sys.setprofile(None)
            threading.setprofile(None)
        in_worker = json.loads(report.read_text())
    engine = (stored, found[WORDS[1]])
    return [list(dict.fromkeys([*files, *in_worker[word]])) for files, word in zip(engine, WORDS, strict=True)]


def main() -> None:
    found = anyio.run(paths)
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for title, files in zip(("store_memory", "query_memory"), found, strict=True):
        print(f"{title}: {len(files)} files", *files, sep="\n    ")


if __name__ == "__main__":
    main()
