"""The figures of `benchmarks/quality` against values computed by hand, and the plans of datasets."""

import math

import pytest
from quality.datasets import Dataset, Question
from quality.metrics import measure, separation
from quality.plans import AND, plans
from quality.product import Answers
from quality.tool_descriptions import description, schema
from quality.unanswerable import report, rounds


def test_figures_of_an_answer_with_one_of_two_right_at_the_third_rank() -> None:
    figures = measure(["a", "b", "c", "d"], {"c", "z"})
    assert figures["R@1"] == 0
    assert figures["R@5"] == figures["R@10"] == 0.5
    assert figures["hit@1"] == 0
    assert figures["hit@5"] == 1
    assert figures["MRR@10"] == pytest.approx(1 / 3)
    assert figures["nDCG@10"] == pytest.approx((1 / 2) / (1 + 1 / math.log2(3)))


def test_the_best_order_scores_one_and_an_empty_answer_zero() -> None:
    assert set(measure(["a"], {"a"}).values()) == {1.0}
    assert set(measure([], {"a", "b"}).values()) == {0.0}


def test_items_after_the_tenth_rank_do_not_count() -> None:
    assert set(measure([*"abcdefghij", "k"], {"k"}).values()) == {0.0}


def test_separation_is_the_share_of_pairs_in_the_right_order_with_ties_as_halves() -> None:
    assert separation([3.0, 1.0], [1.0, 0.0]) == pytest.approx(3.5 / 4)


def test_a_tool_is_described_with_the_fields_of_the_dataset() -> None:
    tool = {"name": "t", "description": "Does.", "server": "S", "server_description": "Serves.", "category": "C"}
    assert description(tool) == "Does."
    assert schema(tool) == {"description": "Server: S. Serves. Category: C"}
    assert schema({"name": "t", "parameters": {"type": "object"}}) == {"type": "object"}
    assert schema({"name": "t"}) is None
    assert description({"name": "t", "description": " ", "server": None}) == "t"


def test_a_text_that_is_stored_once_represents_every_message_that_has_it() -> None:
    meta = {"namespace": "n", "session": "s"}
    messages = [{"doc_id": name, "text": "Yes.", "timestamp": "2023-05-08", "meta": meta} for name in ("a", "b")]
    (plan,) = plans(Dataset("set", "messages", [asked("q", "a")], messages), [], pooled=False, part=False)
    assert list(plan.expand("n", ["a"])) == ["a", "b"]
    assert list(plan.expand("n", [f"c{AND}a", "d"])) == ["c", "a", "b", "d"]
    assert plan.lines["n"][0]["occurred_at"] == "2023-05-08T00:00:00Z"


def test_a_question_searches_the_sessions_of_its_haystack() -> None:
    sessions = [{"doc_id": name, "turns": [["user", name], ["assistant", " "]]} for name in ("a", "b")]
    question = Question("q", "?", frozenset({"a"}), "", {"haystack": [["a", "2023-05-08T10:00:00"]]})
    alone, pooled = plans(Dataset("set", "sessions", [question], sessions), [], pooled=True, part=False)
    assert [line["content"] for line in alone.lines["q"]] == ["user: a"]
    assert [line["content"] for line in pooled.lines["pooled"]] == ["user: a", "user: b"]


def test_rejected_names_are_replaced_and_mapped_back() -> None:
    tool = {"tool_id": "a\nb", "name": "", "description": "d", "parameters": {"properties": {"x": {"type": "date"}}}}
    (plan,) = plans(Dataset("set", "tools", [asked("q", "a\nb")], [tool]), [], pooled=False, part=False)
    (line,) = plan.lines["default"]
    assert line["request_schema"] == {"properties": {"x": {}}}
    assert list(plan.expand("default", [line["tool_id"]])) == ["a\nb"]


def test_a_round_has_at_most_as_many_tools_as_an_agent_may_have_capabilities() -> None:
    questions = [asked(f"q{number}", f"t{number}", f"t{number + 1}") for number in range(200)]
    lines = {f"t{number}": {"tool_id": f"t{number}"} for number in range(201)}
    groups = list(rounds(questions, lines))
    assert [question.id for chosen, _ in groups for question in chosen] == [
        one.id for one in sorted(questions, key=gold)
    ]
    assert all(len(removed) <= 64 and one.gold <= set(removed) for chosen, removed in groups for one in chosen)


def test_the_confidence_in_tools_is_reported_with_and_without_the_right_ones() -> None:
    questions = [asked("first", "a", "z"), asked("second", "a"), asked("never", "y"), asked("none", "a")]
    ranked = {"first": ["a", "b"], "second": ["b", "a"], "never": ["a"], "none": []}
    best = dict.fromkeys(ranked, 1.0)
    fitting = Answers(ranked, {"first": True, "second": True, "never": None, "none": False}, best)
    unanswerable = Answers(ranked, {"first": None, "second": True, "never": None, "none": False}, best)
    line, _ = report(fitting, unanswerable, questions, tools=True)
    assert "confident in 2 of 4 answers where something fits, 1 of them with a right tool first" in line
    assert "and in 1 where nothing does; not confident in 2 of both" in line


def test_the_confidence_in_memories_is_reported_as_two_shares() -> None:
    questions = [asked("near"), asked("far")]
    best = {"near": 1.0, "far": 1.0}
    fitting, unanswerable = (
        Answers({}, {"near": True, "far": False}, best),
        Answers({}, dict.fromkeys(best, False), best),
    )
    shares, _ = report(fitting, unanswerable, questions, tools=False)
    assert shares == "confident where something fits: 50.0%; not confident where nothing does: 100.0%"


def asked(name: str, *gold: str) -> Question:
    return Question(name, "?", frozenset(gold), "default", {})


def gold(question: Question) -> list[str]:
    return sorted(question.gold)
