"""Asks the questions again with the right answers removed, and measures whether `confident` is then false.

Tools: each question is asked without its gold tools. Up to 64 tools at a time are registered again, each requiring its
own capability, and the agent has all of these capabilities except those of the gold. So the product's own filter
removes the gold, and nothing else, before the ranking. (The word statistics are still those of all tools.)
Memories: each question is asked in another namespace of the dataset. A dataset with one namespace is skipped.
Another item may still answer such a question, although the dataset does not list it, so 100 % is not the goal.

Of tools it is never false as long as one is there: `benchmarks/confidence.py` shows why. The report says how often it
is true in both cases, and how often the first tool is then right.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from line_client import LineClient

from memos_mcp.domain.tool import MAX_CAPABILITIES
from quality.datasets import NAMESPACE, Question
from quality.metrics import separation
from quality.plans import Line, Plan
from quality.product import Answers, ask, ask_one, client_of


def ask_unanswerable(plan: Plan, home: Path, marks: Mapping[str, str]) -> Answers | None:
    """Return the answers to the same questions without the right items; None when the dataset does not allow it."""
    if plan.tools:
        return _without_gold(plan, home, marks)
    names = plan.namespaces
    if len(names) < 2:
        return None
    return ask(plan, home, marks, dict(zip(names, [*names[1:], names[0]], strict=True)))


def _without_gold(plan: Plan, home: Path, marks: Mapping[str, str]) -> Answers:
    answers = Answers()
    lines = {plan.ids.get((NAMESPACE, line["tool_id"]), [line["tool_id"]])[0]: line for line in plan.lines[NAMESPACE]}
    with client_of(home, NAMESPACE) as client:
        for questions, removed in rounds(plan.questions, lines):
            labels = {tool: f"removed:{number}" for number, tool in enumerate(removed)}
            _register(client, [{**lines[tool], "required_capabilities": [label]} for tool, label in labels.items()])
            for question in questions:
                has = [label for tool, label in labels.items() if tool not in question.gold]
                ask_one(client, plan, question, NAMESPACE, marks, answers, agent_capabilities=has)
            _register(client, [lines[tool] for tool in removed])
    return answers


def _register(client: LineClient, lines: Sequence[Line]) -> None:
    if not all(done["indexed"] for _, done in client.call_all("register_tool", lines)):
        raise SystemExit("a tool that was registered again was not indexed in time")


def rounds(questions: Sequence[Question], lines: Mapping[str, Line]) -> Iterator[tuple[list[Question], list[str]]]:
    """Yield groups of questions with their gold tools, at most as many tools as an agent may have capabilities.

    Questions about the same tools are in one group, so that few rounds are needed.
    """
    chosen: list[Question] = []
    removed: dict[str, None] = {}
    for question in sorted(questions, key=lambda question: sorted(question.gold)):
        gold = [tool for tool in sorted(question.gold) if tool in lines]
        if len(removed.keys() | set(gold)) > MAX_CAPABILITIES:
            yield chosen, list(removed)
            chosen, removed = [], {}
        chosen.append(question)
        removed |= dict.fromkeys(gold)
    if chosen:
        yield chosen, list(removed)


def report(fitting: Answers, unanswerable: Answers, questions: Sequence[Question], *, tools: bool) -> Iterator[str]:
    """Yield how often `confident` is right with and without the gold, and how well the best score separates the two."""
    ids = [question.id for question in questions]
    if tools:
        yield _sure(fitting, unanswerable, questions)
    elif None in (one.confident[question] for one in (fitting, unanswerable) for question in ids):
        yield "the answers have no `confident`"
    else:
        accepts = sum(fitting.confident[question] is True for question in ids) / len(ids)
        rejects = sum(unanswerable.confident[question] is False for question in ids) / len(ids)
        yield f"confident where something fits: {accepts:.1%}; not confident where nothing does: {rejects:.1%}"
    area = separation([fitting.best[question] for question in ids], [unanswerable.best[question] for question in ids])
    yield f"the best score is higher where something fits in {area:.1%} of all pairs (50 % is chance)"


def _sure(fitting: Answers, unanswerable: Answers, questions: Sequence[Question]) -> str:
    sure = [question for question in questions if fitting.confident[question.id]]
    right = sum(fitting.ranked[one.id][0] in one.gold for one in sure)
    wrong = sum(unanswerable.confident[question.id] is True for question in questions)
    unfit = sum(one.confident[question.id] is False for one in (fitting, unanswerable) for question in questions)
    return (
        f"confident in {len(sure)} of {len(questions)} answers where something fits, {right} of them with a right tool "
        f"first, and in {wrong} where nothing does; not confident in {unfit} of both"
    )
