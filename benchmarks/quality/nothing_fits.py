"""Asks again where nothing fits: does the answer say so?

Tools: each question is asked without its gold tools. Some 64 tools at a time are registered again, each with a
capability of its own, and the agent has all of these but those of the gold: the product's own filter takes the gold
away before anything is ranked, and nothing else. (The statistics of words are still those of all tools.)
Memories: each question is asked in another namespace of the set. A set with one namespace is left out.
What is asked so may still be answered by something that the set's makers did not think of, so 100 % is not the goal.

Nor can it be reached with tools. `confident` asks how far the first tool is above those after it. Where the first is
not right, it stays when the gold is taken away, and is no less far above the rest: at least one verdict is wrong.
(With a reranker the first answer may be another than the one that `confident` was about, and no such bound is known.)
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from line_client import LineClient

from memos_mcp.domain.tool import MAX_CAPABILITIES
from quality.asking import Answers, ask, client_of, one
from quality.measures import means, measure, separation
from quality.plans import Line, Plan
from quality.sets import NAMESPACE, Question


def asked_in_vain(plan: Plan, home: Path, marks: Mapping[str, str]) -> Answers | None:
    """Return the answers to the same questions where what fits is away; None when the set does not allow it."""
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
        for questions, away in rounds(plan.questions, lines):
            labels = {tool: f"away:{number}" for number, tool in enumerate(away)}
            _register(client, [{**lines[tool], "required_capabilities": [label]} for tool, label in labels.items()])
            for question in questions:
                has = [label for tool, label in labels.items() if tool not in question.gold]
                one(client, plan, question, NAMESPACE, marks, answers, agent_capabilities=has)
            _register(client, [lines[tool] for tool in away])
    return answers


def _register(client: LineClient, lines: Sequence[Line]) -> None:
    if not all(done["indexed"] for _, done in client.call_all("register_tool", lines)):
        raise SystemExit("a tool that was registered again was not indexed in time")


def rounds(questions: Sequence[Question], lines: Mapping[str, Line]) -> Iterator[tuple[list[Question], list[str]]]:
    """Yield questions with all their gold tools, as many questions as have no more tools than an agent may have labels.

    Questions about the same tools come together, so that few rounds are needed.
    """
    chosen: list[Question] = []
    away: dict[str, None] = {}
    for question in sorted(questions, key=lambda question: sorted(question.gold)):
        gold = [tool for tool in sorted(question.gold) if tool in lines]
        if len(away.keys() | set(gold)) > MAX_CAPABILITIES:
            yield chosen, list(away)
            chosen, away = [], {}
        chosen.append(question)
        away |= dict.fromkeys(gold)
    if chosen:
        yield chosen, list(away)


def report(fitting: Answers, in_vain: Answers, questions: Sequence[Question], *, tools: bool) -> Iterator[str]:
    """Yield how often `confident` is right with and without what fits, and how well the best score tells them apart.

    For questions about tools also how often it could be: those of memories are asked again among others.
    """
    ids = [question.id for question in questions]
    told = [one.confident[question] for one in (fitting, in_vain) for question in ids]
    if None in told:
        yield "the answers do not say whether they are confident"
    else:
        right = sum(fitting.confident[question] is True for question in ids) / len(ids)
        wrong = sum(in_vain.confident[question] is False for question in ids) / len(ids)
        yield f"confident where something fits: {right:.1%}; not confident where nothing does: {wrong:.1%}"
        if tools:
            first = means(measure(fitting.ranked[one.id], one.gold) for one in questions)["hit@1"]
            yield (
                f"a right tool is first where one fits (hit@1): {first:.1%}; "
                f"the mean of the two, {(right + wrong) / 2:.1%}, cannot exceed (1 + hit@1) / 2 = {(1 + first) / 2:.1%}"
            )
    area = separation([fitting.best[question] for question in ids], [in_vain.best[question] for question in ids])
    yield f"the best score is higher where something fits in {area:.1%} of all pairs (50 % is chance)"
