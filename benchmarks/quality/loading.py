"""Brings a plan into a home of its own, through the product's own commands, and waits until all of it is indexed."""

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
"""An index that was built by another version is built anew, perhaps with new inferences."""


def load(plan: Plan, home: Path) -> None:
    """Import the namespaces that the home does not hold yet; the last command waits for what all have stored."""
    home.mkdir(parents=True, exist_ok=True)
    if plan.folder is not None:
        _run(home, "ingest", str(plan.folder))
        return
    held = _held(home)
    missing = {name: lines for name, lines in plan.lines.items() if held.get(name) != _digest(lines)}
    if not plan.tools and (changed := held.keys() & missing.keys()):
        raise SystemExit(f"{home} holds {', '.join(sorted(changed))} as it was before: load into another folder")
    for left, (namespace, lines) in enumerate(missing.items(), start=1 - len(missing)):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            file.flush()
            _run(home, "import", file.name, *(["--no-wait"] if left else []), namespace=namespace)
    (home / LOADED).write_text(json.dumps(held | {name: _digest(lines) for name, lines in missing.items()}))


def wait(client: LineClient, tool: str) -> None:
    """Ask until an answer is whole: the engine may have to load the model, or to build the index anew."""
    deadline = time.monotonic() + READY_SECONDS
    while (why := client.call(tool, query="Is anybody there?")["degraded"]) is not None:
        if time.monotonic() > deadline:
            raise SystemExit(f"no answer was whole within {READY_SECONDS:g} s: {why}")
        time.sleep(0.2)


def _held(home: Path) -> dict[str, str]:
    """Return the digest of what each namespace was loaded with."""
    if not (home / LOADED).exists():
        return {}
    held: dict[str, str] = json.loads((home / LOADED).read_text())
    return held


def _digest(lines: list[Line]) -> str:
    return sha256(json.dumps(lines, sort_keys=True).encode()).hexdigest()


def _run(home: Path, *arguments: str, **settings: Any) -> None:
    """Run a command of the product and pass on what it says; lines that it refuses are no reason to stop."""
    run = subprocess.run(
        [*OURS, *arguments], env=environment(home, **settings), stdout=subprocess.PIPE, text=True, check=False
    )
    said = run.stdout.strip()
    if run.returncode not in {0, 1} or not said:
        raise SystemExit(f"memos-as {arguments[0]} gave {run.returncode}: {said}")
    print(f"  {settings.get('namespace', '')} {said.splitlines()[0]}".replace("   ", "  "))
