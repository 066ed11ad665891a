"""Checks `confident` of tools on datasets, each of them left out once, and whether any rule could say that none fits.

    python benchmarks/confidence.py DATA [--only SET] [--limit 1000]

Each question of the tool datasets in DATA (`quality/datasets.py` has their format) is ranked twice, in this process and
with the product's own lanes and fusion: with its right tools, and without them. The printed tables have:

- The rule of `retrieval/confidence.py`: how many answers it calls sure, and how often their first tool is right, where
  half of the questions have lost their right tools, and where a fifth has.
- The same with a threshold that the other datasets choose: the lowest at which the rule is right in 9 of 10 answers on
  each of those where it judges enough of them. This is what a new dataset has to expect.
- The lowest strengths: how often no right tool is there if the best is as weak, which is why nothing is called unfit.
- Needs that `build_loadout` names as uncovered: how often the dataset's right tool is then not there.
"""

import argparse
import math
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final

import anyio
from quality.datasets import find
from quality.plans import plans
from quality.tool_lanes import ToolLanes

from memos_mcp.domain.loadout import TOOL_THRESHOLDS, relevance
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.retrieval.confidence import SURE_SHARE, share_of_best
from memos_mcp.retrieval.fusion import fuse
from memos_mcp.settings import DEFAULT_MODEL

TARGET: Final = 0.9
ENOUGH: Final = 20
"""Answers that a dataset must have above a threshold for its share of right ones to count."""

REMOVED: Final = (0.5, 0.2)
"""The assumed shares of questions without a right tool."""

WEAK: Final = (0.3, 0.4, 0.5)
FIRST: Final = 10


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question. `right`: whether the first tool is. `removed`: whether the right tools were removed."""

    removed: bool
    right: bool
    best: float
    share: float
    covered: bool


Answers = Sequence[Answer]


def main() -> None:
    """Rank the questions of all datasets and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a folder with datasets; without it nothing is measured")
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--limit", type=int, default=1_000, help="questions of each dataset")
    options = parser.parse_args()
    if options.data is None:
        print("give the folder of the datasets; see benchmarks/README.md")
        return
    anyio.run(run, options.data, options.only, options.limit)


async def run(data: Path, only: Sequence[str], limit: int) -> None:
    """Print what the module's description says."""
    answers: dict[str, Answers] = {}
    with tempfile.TemporaryDirectory(prefix="memos-bench-") as home:
        embedder = FastEmbedder(DEFAULT_MODEL, Path(home))
        for dataset in find(data, only, limit):
            for plan in plans(dataset, (), pooled=False, part=True) if dataset.kind == "tools" else ():
                lanes = await ToolLanes.of(plan, embedder)
                answers[plan.name] = [answer async for answer in _answers(lanes)]
                print(f"{plan.name}: {len(plan.questions):,} questions", flush=True)
    for line in (*rule_table(answers), *left_out_table(answers), *unfit_table(answers), *uncovered_table(answers)):
        print(line)


async def _answers(lanes: ToolLanes) -> AsyncIterator[Answer]:
    for question in lanes.questions:
        gold = lanes.positions(question.gold)
        for removed in (False, True):
            ranked = fuse("tool", await lanes.search(question.text, gold if removed else ()))
            yield Answer(
                removed,
                right=bool(ranked) and int(ranked[0].item) in gold,
                best=ranked[0].strength if ranked else 0.0,
                share=share_of_best([hit.strength for hit in ranked]),
                covered=any(
                    relevance(question.text, lanes.texts[int(hit.item)], hit.signals, rank, TOOL_THRESHOLDS) == "covers"
                    for rank, hit in enumerate(ranked[:FIRST])
                ),
            )


def rule_table(answers: Mapping[str, Answers]) -> Iterator[str]:
    """Yield the rows about the product's rule: the sure answers, the share of right ones, and of all answers."""
    yield ""
    yield f"| share >= {SURE_SHARE} | sure, of all | first tool right | half removed: right; sure | a fifth removed |"
    yield "|---|---:|---:|---:|---:|"
    for name, some in _with_total(answers):
        sure = [answer for answer in some if answer.share >= SURE_SHARE]
        cells = [f"{len(sure)} of {len(some):,}", str(sum(answer.right for answer in sure))]
        cells += [_right_and_sure(sure, some, removed) for removed in REMOVED]
        yield f"| {name} | " + " | ".join(cells) + " |"


def left_out_table(answers: Mapping[str, Answers]) -> Iterator[str]:
    """Yield the same rows with the threshold that the other datasets choose."""
    yield ""
    yield "| left out | threshold of the others | sure | half removed: right; sure | a fifth removed |"
    yield "|---|---:|---:|---:|---:|"
    for name, some in answers.items() if len(answers) > 1 else ():
        threshold = lowest_threshold([others for other, others in answers.items() if other != name])
        sure = [answer for answer in some if answer.share >= threshold]
        cells = [f"{threshold:.4f}", str(len(sure)), *(_right_and_sure(sure, some, removed) for removed in REMOVED)]
        yield f"| {name} | " + " | ".join(cells) + " |"


def lowest_threshold(datasets: Sequence[Answers]) -> float:
    """Return the lowest share of the best from which up the rule has the target on each dataset; inf if none has it."""
    rows = [(answer.share, number, answer.right) for number, answers in enumerate(datasets) for answer in answers]
    sure, right, found = [0] * len(datasets), [0] * len(datasets), math.inf
    for share, reached in groupby(sorted(rows, reverse=True), key=itemgetter(0)):
        for _, number, is_right in reached:
            sure[number] += 1
            right[number] += is_right
        if any(count >= ENOUGH and good < TARGET * count for count, good in zip(sure, right, strict=True)):
            break
        found = share
    return found


def unfit_table(answers: Mapping[str, Answers]) -> Iterator[str]:
    """Yield how often no right tool is there, where half of the questions have none, if the best is weak."""
    yield ""
    yield "| no right tool there, of the answers whose best is weaker than | " + " | ".join(map(str, WEAK)) + " |"
    yield "|---|" + "---:|" * len(WEAK)
    for name, some in _with_total(answers):
        weak = [[answer for answer in some if answer.best < bound] for bound in WEAK]
        yield f"| {name} | " + " | ".join(_part(found, lambda answer: answer.removed) for found in weak) + " |"


def uncovered_table(answers: Mapping[str, Answers]) -> Iterator[str]:
    """Yield how often no right tool is there, where half of the questions have none, if no tool covers the need."""
    yield ""
    yield "| | no right tool there, of the uncovered needs |"
    yield "|---|---:|"
    for name, some in _with_total(answers):
        uncovered = [answer for answer in some if not answer.covered]
        yield f"| {name} | {_part(uncovered, lambda answer: answer.removed)} |"


def _with_total(answers: Mapping[str, Answers]) -> Iterator[tuple[str, Answers]]:
    yield from answers.items()
    yield "all", [answer for some in answers.values() for answer in some]


def _part(answers: Answers, wanted: Callable[[Answer], bool]) -> str:
    return f"{sum(map(wanted, answers))} of {len(answers)}"


def _right_and_sure(sure: Answers, some: Answers, removed: float) -> str:
    """Return the percentages of right answers among the sure and of sure ones among all, for this removed share."""
    weight = {True: removed, False: 1.0 - removed}
    weighed = sum(weight[answer.removed] for answer in sure)
    right = sum(weight[answer.removed] for answer in sure if answer.right)
    return f"{right / weighed:.0%}; {weighed / sum(weight[answer.removed] for answer in some):.1%}" if sure else "-; 0"


if __name__ == "__main__":
    main()
