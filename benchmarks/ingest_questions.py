"""Ingests a code base, asks questions about it, and counts those whose first answers include the right file.

The questions are in a JSON file: `question`, and the `file` that answers it, relative to the folder. The default ones,
about Django's package folder, were written before any answer was seen:

    python -m pip download --no-deps django && unzip -q django-*.whl -d build/django
    python benchmarks/ingest_questions.py build/django/django
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from line_client import LineClient, connected, environment

FIRST = 5
QUESTIONS = Path(__file__).with_suffix(".json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("skipped: no folder was given")
        return
    questions = json.loads(arguments.questions.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as folder:
        home = Path(folder)
        command = [sys.executable, "-m", "memos_mcp", "ingest", str(arguments.folder)]
        subprocess.run(command, env=environment(home), check=True)
        with connected(home) as client:
            found = ask(client, questions)
        print(f"{found} of {len(questions)} have the right file among the first {FIRST} passages")


def ask(client: LineClient, questions: list[dict[str, str]]) -> int:
    """Print each question with the rank of the right file, and the first answer; return how many were found."""
    found = 0
    for row in questions:
        answer = client.call("query_memory", query=row["question"], limit=FIRST, kind="document")
        paths = [hit["metadata"]["path"] for hit in answer["memories"]]
        rank = paths.index(row["file"]) + 1 if row["file"] in paths else None
        found += rank is not None
        print(f"{rank or '-':>3}  {row['question']}\n     {row['file']}; first: {paths[0] if paths else 'none'}")
    return found


if __name__ == "__main__":
    main()
