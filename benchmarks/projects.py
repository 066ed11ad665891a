"""Ingests three published projects, in Python, TypeScript and Go, and asks ten questions about each.

The projects are pinned by version and by the digest of their archive, and fetched with the client of their registry
(`pip`, `npm`, `go`); one whose client is missing is skipped. For each it prints what the command prints, the rate
beside that of the bare embedder on the same passages (as `ingest.py` measures it), a second run, and the rank of the
right file of each question. The questions (`projects_questions.json`) were written before any of them was ingested.

    python benchmarks/projects.py --only ajv
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import anyio
from figures import verdict
from ingest import cut, cut_for_model, in_rounds, ingest
from ingest_questions import FIRST, ask
from line_client import connected

from memos_mcp.ingest.files.walk import walk

QUESTIONS = Path(__file__).with_name("projects_questions.json")
RIGHT = 8


@dataclass(frozen=True, slots=True)
class Project:
    """A published project. `command` fetches it in the current folder, in which `archive` is then its archive.

    root: the folder in the archive that is ingested.
    """

    name: str
    command: Sequence[str]
    archive: str
    digest: str
    root: str

    def fetch(self, folder: Path) -> Path | None:
        """Fetch and unpack the project; return its folder, or None when the registry's client is not installed."""
        if shutil.which(self.command[0]) is None:
            return None
        variables = {**os.environ, "GOMODCACHE": str(folder / "go"), "GOFLAGS": "-modcacherw"}
        subprocess.run(self.command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, check=True)
        archive = folder / self.archive
        if (digest := sha256(archive.read_bytes()).hexdigest()) != self.digest:
            raise SystemExit(f"{archive.name} has the digest {digest}, not {self.digest}: it is not what was pinned")
        if archive.suffix == ".zip":
            with ZipFile(archive) as packed:
                packed.extractall(folder / "unpacked")
        else:
            with tarfile.open(archive) as packed:
                packed.extractall(folder / "unpacked", filter="data")
        return folder / "unpacked" / self.root


PROJECTS = (
    Project(
        "flask",
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "flask", "flask==3.0.3"],
        "flask-3.0.3.tar.gz",
        "ceb27b0af3823ea2737928a4d99d125a06175b8512c445cbd9a9ce200ef76842",
        "flask-3.0.3",
    ),
    Project(
        "ajv",
        ["npm", "pack", "--silent", "ajv@8.17.1"],
        "ajv-8.17.1.tgz",
        "f09dae78b8cc984dbf178eba92a7b19bff9e5f7c990508f3af0bf8f118770308",
        "package",
    ),
    Project(
        "cobra",
        ["go", "mod", "download", "github.com/spf13/cobra@v1.8.1"],
        "go/cache/download/github.com/spf13/cobra/@v/v1.8.1.zip",
        "bf27a276f87257c93bc057309df30265a19beefc3d5fc887cbd8fc99ad35466a",
        "github.com/spf13/cobra@v1.8.1",
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="PROJECT", choices=[one.name for one in PROJECTS])
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    questions = json.loads(QUESTIONS.read_text(encoding="utf-8"))
    for project in PROJECTS:
        if arguments.only is None or project.name in arguments.only:
            with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
                measure(project, Path(folder), questions[project.name], random.Random(arguments.seed))


def measure(project: Project, folder: Path, questions: list[dict[str, str]], chance: random.Random) -> None:
    """Ingest a project twice and ask its questions."""
    code, home = project.fetch(folder), folder / "home"
    if code is None:
        print(f"{project.name} is skipped: {project.command[0]} is not installed", flush=True)
        return
    passages = anyio.run(cut_for_model, home, [chunk.content for chunk in cut(walk(code))])
    first, bare = anyio.run(in_rounds, home, code, sorted(passages), chance)
    rate = len(passages) / first.seconds
    print(first.summary, *first.further, sep="\n")
    print(
        f"{len(passages):,} passages in {first.seconds:.1f} s, {rate:.1f}/s: {rate / bare:.0%} of the bare model's rate"
    )
    again = ingest(home, code)
    print(f"again in {again.seconds:.2f} s: {again.summary}")
    with connected(home) as client:
        found = ask(client, questions)
    print(
        verdict(
            f"{found} of {len(questions)} right files among the first {FIRST}, at least {RIGHT}", met=found >= RIGHT
        )
    )


if __name__ == "__main__":
    main()
