"""Loads a plan into its own home with the product's own commands, and waits until everything is indexed."""

import json
import subprocess
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from line_client import OURS, LineClient, environment

from quality.plans import Line, Plan

LOADED = "loaded.json"
READY_SECONDS = 7_200.0
"""An index of another version is rebuilt, which may need new inferences."""


def load(plan: Plan, home: Path) -> None:
    """Import the namespaces that the home does not have yet; the last command waits until everything is indexed."""
    home.mkdir(parents=True, exist_ok=True)
    if plan.folder is not None:
        _run(home, "ingest", str(plan.folder))
        return
    held = _held(home)
    missing = {name: lines for name, lines in plan.lines.items() if held.get(name) != _digest(lines)}
    if not plan.tools and (changed := held.keys() & missing.keys()):
        raise SystemExit(f"{home} holds {', '.join(sorted(changed))} with other content: load into another folder")
    for remaining, (namespace, lines) in enumerate(missing.items(), start=1 - len(missing)):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            file.flush()
            _run(home, "import", file.name, *(["--no-wait"] if remaining else []), namespace=namespace)
    (home / LOADED).write_text(json.dumps(held | {name: _digest(lines) for name, lines in missing.items()}))


def wait(client: LineClient, tool: str) -> None:
    """Query until an answer is not degraded: the engine may have to load the model or to rebuild the index."""
    deadline = time.monotonic() + READY_SECONDS
    while (reason := client.call(tool, query="Is anybody there?")["degraded"]) is not None:
        if time.monotonic() > deadline:
            raise SystemExit(f"all answers were degraded for {READY_SECONDS:g} s: {reason}")
        time.sleep(0.2)


def _held(home: Path) -> dict[str, str]:
    """Return the digest of the lines that each namespace was loaded with."""
    if not (home / LOADED).exists():
        return {}
    held: dict[str, str] = json.loads((home / LOADED).read_text())
    return held


def _digest(lines: list[Line]) -> str:
    return sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def _run(home: Path, *arguments: str, **settings: Any) -> None:
    """Run a command of the product and print its first line; rejected lines are not an error."""
    run = subprocess.run(
        [*OURS, *arguments], env=environment(home, **settings), stdout=subprocess.PIPE, text=True, check=False
    )
    output = run.stdout.strip()
    if run.returncode not in {0, 1} or not output:
        raise SystemExit(f"memos-as {arguments[0]} exited with {run.returncode}: {output}")
    print(f"  {settings.get('namespace', '')} {output.splitlines()[0]}".replace("   ", "  "))
