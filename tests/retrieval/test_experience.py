from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from memos_mcp.domain.experience import Evidence, Reports
from memos_mcp.domain.index import Span
from memos_mcp.domain.tool import ToolExperience
from memos_mcp.retrieval.experience import Near, Votes, count_votes
from memos_mcp.retrieval.fusion import Ranked

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TOOL_A, TOOL_B, TOOL_C = (UUID(int=number) for number in (1, 2, 3))
TASK = UUID(int=100)


def ranked(**strengths: float) -> list[Ranked]:
    tools = {"a": TOOL_A, "b": TOOL_B, "c": TOOL_C}
    return [Ranked(str(tools[name]), strength, {"dense": strength}, Span(0, 1)) for name, strength in strengths.items()]


def report(
    tool: UUID,
    *,
    worked: bool = True,
    task: UUID = TASK,
    agent: str = "ann",
    behind: int = 0,
    age: timedelta = timedelta(0),
) -> Reports:
    return Reports(task, tool, agent, behind, 1, int(worked), NOW - age)


def voted(
    candidates: Sequence[Ranked],
    reports: Sequence[Reports],
    strength: float = 0.9,
    uses: dict[UUID, int] | None = None,
) -> Votes:
    near = [Near(task, strength) for task in {one.task_id for one in reports}]
    return count_votes(candidates, near, Evidence(reports, uses or {}), {}, NOW)


def strength_of(votes: Votes, tool: UUID) -> float:
    return next(hit.strength for hit in votes.ranked if hit.item_id == tool)


def gained(reports: Sequence[Reports], strength: float = 0.9, tool: UUID = TOOL_B) -> float:
    """Return what a tool gains, where all are uses so often that nothing is imputed."""
    uses = dict.fromkeys((TOOL_A, TOOL_B, TOOL_C), 10_000)
    return strength_of(voted(ranked(a=0.5, b=0.5), reports, strength, uses), tool) - 0.5


def test_the_tool_that_worked_for_a_near_task_overtakes_a_similar_one() -> None:
    votes = voted(ranked(a=0.5, b=0.45), [report(TOOL_B)])
    assert [hit.item_id for hit in votes.ranked] == [TOOL_B, TOOL_A]
    assert votes.counted == {str(TOOL_B): ToolExperience(1, 1)}


def test_without_reports_the_cold_ranking_stays() -> None:
    candidates = ranked(a=0.5, b=0.45)
    assert voted(candidates, []) == Votes(candidates)


def test_one_vote_of_a_far_task_changes_little() -> None:
    assert gained([report(TOOL_B)], strength=0.3) < 0.1 * gained([report(TOOL_B)], strength=0.9)


def test_more_tasks_are_more_evidence() -> None:
    several = [report(TOOL_B, task=UUID(int=number)) for number in range(4)]
    assert gained(several, 0.6) > gained(several[:1], 0.6)


def test_a_far_task_votes_and_is_not_shown() -> None:
    assert voted(ranked(a=0.5), [report(TOOL_A)], 0.4).counted == {}


def test_a_tool_that_only_past_tasks_propose_is_a_candidate() -> None:
    votes = voted(ranked(a=0.5, b=0.2), [report(TOOL_C)], uses={TOOL_A: 32, TOOL_B: 32})
    assert [hit.item_id for hit in votes.ranked] == [TOOL_C, TOOL_A, TOOL_B]


def test_a_failure_counts_against_a_tool_and_several_more_so() -> None:
    failures = [report(TOOL_B, worked=False, task=UUID(int=number)) for number in range(4)]
    assert gained(failures) < gained(failures[:1]) < 0


def test_successes_outweigh_a_failure() -> None:
    successes = [report(TOOL_B, task=UUID(int=number)) for number in range(4)]
    assert 0 < gained([*successes, report(TOOL_B, worked=False)]) < gained(successes)


@pytest.mark.parametrize("weak", [report(TOOL_B, age=timedelta(days=365)), report(TOOL_B, behind=1)])
def test_a_report_that_is_old_or_of_an_older_version_weighs_less(weak: Reports) -> None:
    assert 0 < gained([weak]) < gained([report(TOOL_B)])


def test_a_report_from_the_future_weighs_as_a_new_one() -> None:
    assert gained([report(TOOL_B, age=timedelta(days=-9_999))]) == pytest.approx(gained([report(TOOL_B)]))


def test_a_tool_that_nobody_has_used_keeps_its_advance_over_one_that_was() -> None:
    reports = [report(TOOL_B, task=UUID(int=number)) for number in range(5)]
    known = voted(ranked(a=0.9, b=0.2), reports, 0.5, {TOOL_A: 32, TOOL_B: 32})
    untried = voted(ranked(a=0.9, b=0.2), reports, 0.5, {TOOL_B: 32})
    assert strength_of(untried, TOOL_A) > strength_of(known, TOOL_A)
    assert untried.ranked[0].item_id == TOOL_A


def test_one_agent_cannot_outvote_the_others_by_many_reports() -> None:
    honest = [report(TOOL_A, task=UUID(int=number), agent=name) for number, name in enumerate(("ann", "bob", "cy"), 1)]
    flood = [report(TOOL_B, task=UUID(int=number), agent="eve") for number in range(1_000, 1_500)]
    near = [Near(one.task_id, 0.95) for one in (*honest, *flood)]
    uses = {TOOL_A: 32, TOOL_B: 32}
    votes = count_votes(ranked(a=0.5, b=0.5), near, Evidence([*honest, *flood], uses), {}, NOW)
    alone = count_votes(ranked(a=0.5, b=0.5), near, Evidence([*honest, *flood[:5]], uses), {}, NOW)
    assert strength_of(votes, TOOL_B) - strength_of(votes, TOOL_A) < 0.1
    assert strength_of(votes, TOOL_B) == pytest.approx(strength_of(alone, TOOL_B), abs=0.02)


def test_reports_of_one_agent_about_one_task_count_once() -> None:
    many = Reports(TASK, TOOL_B, "ann", 0, 8, 8, NOW)
    assert gained([many]) == pytest.approx(gained([report(TOOL_B)]))
