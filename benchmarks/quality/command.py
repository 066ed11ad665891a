"""Measures retrieval quality on datasets of questions whose answers are known.

    python benchmarks/quality DATA [--out FOLDER] [--keep FOLDER] [--code FOLDER] [--ablation]

DATA holds the datasets (`datasets.py` describes the format). Each is loaded into its own home with the product's own
commands and asked over the real server, one question at a time (`product.py`). BM25 alone and the dense lane alone are
measured on the same texts (`lanes.py`). `metrics.py` defines the figures. Adversarial questions, which have no true
answer, are asked and written to the output, but only count in the figures of their own group (`--by category`).
`--ablation` instead measures each part of the retrieval by removing it (`ablation.py`).
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import anyio
from figures import percentile

from quality.ablation import ablate, table
from quality.datasets import Question, find
from quality.history import History, clear, record
from quality.home_database import opened
from quality.lanes import answers as lanes_alone
from quality.loading import load
from quality.metrics import DEFINITIONS, NAMES, means, measure
from quality.plans import Plan, plans
from quality.product import HITS, Answers, ask, served
from quality.unanswerable import ask_unanswerable, report

PRODUCT = "product"

Run = Mapping[str, Sequence[str]]
"""The ids of the dataset, best first, by question."""


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        homes = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memos-bench-")))
        print(DEFINITIONS)
        for dataset in find(arguments.data, arguments.only, arguments.limit):
            for plan in plans(dataset, arguments.code, pooled=arguments.pooled, part=arguments.limit is not None):
                evaluate(plan, homes / plan.home, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with datasets, at any depth")
    parser.add_argument("--out", type=Path, help="write <set>.<system>.jsonl into this folder: query_id and ranked")
    parser.add_argument("--only", action="append", default=[], metavar="SET", help="can be repeated")
    parser.add_argument("--limit", type=int, metavar="N", help="ask only N questions of each dataset, for a trial")
    parser.add_argument("--by", metavar="KEY", help="a row for each value of this key of the questions")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and reuse existing ones")
    parser.add_argument(
        "--code", type=Path, action="append", default=[], metavar="FOLDER", help="the code base of a code dataset"
    )
    parser.add_argument("--pooled", action="store_true", help="also ask session datasets in one namespace")
    parser.add_argument("--nothing-fits", action="store_true", help="ask again without the right answers")
    parser.add_argument(
        "--experience", type=History.of, metavar="FILE[:COUNT]", help="record past tasks, and the tools that worked"
    )
    parser.add_argument("--wrong", type=float, default=0.0, metavar="SHARE", help="of them, with another tool instead")
    parser.add_argument("--ablation", action="store_true", help="remove one part at a time instead")
    parser.add_argument("--product-only", action="store_true", help="do not measure the lanes alone")
    return parser.parse_args()


def evaluate(plan: Plan, home: Path, arguments: argparse.Namespace) -> None:
    """Load a dataset, ask the product and the lanes, write and print the results."""
    print(f"{plan.name}:")
    load(plan, home)
    if arguments.experience is not None and plan.tools:
        print(f"  {anyio.run(record, arguments.experience.with_wrong(arguments.wrong), plan, home)}", flush=True)
    elif plan.tools:
        anyio.run(clear, home)
    if arguments.ablation:
        print("\n".join(table(plan, anyio.run(ablate, plan, home))), flush=True)
        return
    marks = anyio.run(_marks, plan, home)
    with served(plan, home):
        product = ask(plan, home, marks)
        unanswerable = ask_unanswerable(plan, home, marks) if arguments.nothing_fits else None
    alone = {} if arguments.product_only else anyio.run(lanes_alone, plan, home)
    runs: dict[str, Run] = {**alone, PRODUCT: product.ranked}
    if arguments.out is not None:
        write(arguments.out, plan, runs)
    show(plan, runs, arguments.by)
    remarks(plan, product, unanswerable)


async def _marks(plan: Plan, home: Path) -> dict[str, str]:
    """Return the mark of each item by its id in the product's answers."""
    async with opened(home) as database:
        return await database.marks([*plan.lines, *plan.namespaces], tools=plan.tools)


def write(out: Path, plan: Plan, runs: Mapping[str, Run]) -> None:
    """Write one file per system, with one line per question."""
    out.mkdir(parents=True, exist_ok=True)
    for system, run in runs.items():
        lines = (json.dumps({"query_id": name, "ranked": list(ids)}) + "\n" for name, ids in run.items())
        (out / f"{plan.name}.{system}.jsonl").write_text("".join(lines), encoding="utf-8")


def show(plan: Plan, runs: Mapping[str, Run], by: str | None) -> None:
    """Print a table of the systems: all headline questions, then each group."""
    groups: dict[str, list[Question]] = {"": [question for question in plan.questions if question.headline]}
    if by is not None:
        for question in plan.questions:
            groups.setdefault(str(question.row.get(by)), []).append(question)
    for group, questions in groups.items():
        print(f"  {group or 'all':40} n = {len(questions):<6,} k = {HITS:<4}" + "".join(f"{name:>9}" for name in NAMES))
        for system, run in runs.items():
            figures = means(measure(run.get(question.id, ()), question.gold) for question in questions)
            print(f"    {system:54}" + "".join(f"{100 * figures[name]:9.1f}" for name in NAMES))


def remarks(plan: Plan, product: Answers, unanswerable: Answers | None) -> None:
    """Print the notes to the figures, and the times."""
    for note in plan.notes:
        print(f"  {note}")
    if product.short:
        print(f"  {product.short} answers had fewer than {HITS} tools, because of the size limit")
    if product.degraded:
        print(f"  {product.degraded} answers were degraded")
    p50, p95 = (percentile(product.milliseconds, share) for share in (0.5, 0.95))
    print(f"  an answer took p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    if unanswerable is not None:
        headline = [question for question in plan.questions if question.headline]
        for line in report(product, unanswerable, headline, tools=plan.tools):
            print(f"  {line}")
