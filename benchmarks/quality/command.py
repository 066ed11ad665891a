"""Asks sets of questions whose answers are known, and prints how good the answers are.

    python benchmarks/quality DATA [--out FOLDER] [--keep FOLDER] [--code FOLDER] [--ablation]

DATA holds the sets (`sets.py` tells their form). Each is loaded with the product's own commands into a home of its own
and asked over the real server, one question at a time (`asking.py`); beside it stand BM25 alone and the dense lane
alone, over the same texts (`lanes.py`). `measures.py` defines the figures. Adversarial questions, which ask for what
was never said, are asked and written, and count in no figure but that of their own group (`--by category`).
`--ablation` shows instead what each part of the retrieval is worth, by taking it away (`ablation.py`).
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
from quality.asking import HITS, Answers, ask, served
from quality.lanes import answers as lanes_alone
from quality.loading import load
from quality.measures import DEFINITIONS, NAMES, means, measure
from quality.nothing_fits import asked_in_vain, report
from quality.plans import Plan, plans
from quality.sets import Question, find
from quality.stored import opened

PRODUCT = "product"

Run = Mapping[str, Sequence[str]]
"""The set's ids, best first, by question."""


def main() -> None:
    arguments = _arguments()
    with ExitStack() as stack:
        homes = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memos-bench-")))
        print(DEFINITIONS)
        for given in find(arguments.data, arguments.only, arguments.limit):
            for plan in plans(given, arguments.code, pooled=arguments.pooled, part=arguments.limit is not None):
                evaluate(plan, homes / plan.home, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with sets, at any depth")
    parser.add_argument("--out", type=Path, help="write <set>.<system>.jsonl into this folder: query_id and ranked")
    parser.add_argument("--only", action="append", default=[], metavar="SET", help="can be repeated")
    parser.add_argument("--limit", type=int, metavar="N", help="so many questions of each set, for a trial")
    parser.add_argument("--by", metavar="KEY", help="a row for each value of this key of the questions")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the homes here, and use those that are there")
    parser.add_argument(
        "--code", type=Path, action="append", default=[], metavar="FOLDER", help="what code sets are about"
    )
    parser.add_argument("--pooled", action="store_true", help="ask sets of sessions in one namespace, too")
    parser.add_argument("--nothing-fits", action="store_true", help="ask again where nothing fits")
    parser.add_argument("--ablation", action="store_true", help="take one part away at a time instead")
    parser.add_argument("--product-only", action="store_true", help="leave out the lanes alone")
    return parser.parse_args()


def evaluate(plan: Plan, home: Path, arguments: argparse.Namespace) -> None:
    """Load a set, ask the product and the lanes, write and print."""
    print(f"{plan.name}:")
    load(plan, home)
    if arguments.ablation:
        print("\n".join(table(plan, anyio.run(ablate, plan, home))), flush=True)
        return
    marks = anyio.run(_marks, plan, home)
    with served(plan, home):
        product = ask(plan, home, marks)
        in_vain = asked_in_vain(plan, home, marks) if arguments.nothing_fits else None
    alone = {} if arguments.product_only else anyio.run(lanes_alone, plan, home)
    runs: dict[str, Run] = {**alone, PRODUCT: product.ranked}
    if arguments.out is not None:
        write(arguments.out, plan, runs)
    show(plan, runs, arguments.by)
    remarks(plan, product, in_vain)


async def _marks(plan: Plan, home: Path) -> dict[str, str]:
    """Return the mark of each item by its id in an answer."""
    async with opened(home) as stored:
        return await stored.marks([*plan.lines, *plan.namespaces], tools=plan.tools)


def write(out: Path, plan: Plan, runs: Mapping[str, Run]) -> None:
    """Write one file a system, with a line a question."""
    out.mkdir(parents=True, exist_ok=True)
    for system, run in runs.items():
        lines = (json.dumps({"query_id": name, "ranked": list(ids)}) + "\n" for name, ids in run.items())
        (out / f"{plan.name}.{system}.jsonl").write_text("".join(lines), encoding="utf-8")


def show(plan: Plan, runs: Mapping[str, Run], by: str | None) -> None:
    """Print a table of the systems: all questions of the headline, then each group."""
    groups: dict[str, list[Question]] = {"": [question for question in plan.questions if question.headline]}
    if by is not None:
        for question in plan.questions:
            groups.setdefault(str(question.row.get(by)), []).append(question)
    for group, questions in groups.items():
        print(f"  {group or 'all':40} n = {len(questions):<6,} k = {HITS:<4}" + "".join(f"{name:>9}" for name in NAMES))
        for system, run in runs.items():
            figures = means(measure(run.get(question.id, ()), question.gold) for question in questions)
            print(f"    {system:54}" + "".join(f"{100 * figures[name]:9.1f}" for name in NAMES))


def remarks(plan: Plan, product: Answers, in_vain: Answers | None) -> None:
    """Print what must be known beside the figures."""
    for note in plan.notes:
        print(f"  {note}")
    if product.short:
        print(f"  {product.short} answers had fewer than {HITS} tools, for want of room")
    if product.degraded:
        print(f"  {product.degraded} answers were degraded")
    p50, p95 = (percentile(product.milliseconds, share) for share in (0.5, 0.95))
    print(f"  an answer took p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    if in_vain is not None:
        headline = [question for question in plan.questions if question.headline]
        for line in report(product, in_vain, headline, tools=plan.tools):
            print(f"  {line}")
