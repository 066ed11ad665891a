"""Whether candidates meet a need, judged by their strengths."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index import Span
from memos_mcp.retrieval.confidence import FIELD, IS_NEAR, SURE_SHARE, is_near, is_sure, share_of_best
from memos_mcp.retrieval.fusion import Ranked

STRENGTHS = st.lists(st.floats(-1, 5), min_size=1, max_size=60).map(lambda some: sorted(some, reverse=True))


def field(*strengths: float) -> list[Ranked]:
    return [Ranked(str(UUID(int=index)), strength, {}, Span(0, 1)) for index, strength in enumerate(strengths)]


def test_a_tool_far_above_all_others_is_sure_and_one_beside_a_sibling_is_not() -> None:
    assert is_sure(field(1.4, *[0.3] * 60)) is True
    assert is_sure(field(1.4, 1.3, *[0.3] * 60)) is None
    assert is_sure(field(*[0.9] * 5, *[0.7] * 20)) is None


def test_tools_are_never_judged_unfit() -> None:
    assert is_sure([]) is None
    assert is_sure(field(0.01, 0.01)) is None


def test_a_small_toolbox_is_no_evidence_that_its_best_tool_fits() -> None:
    assert is_sure(field(0.6)) is None
    assert is_sure(field(0.6, 0.0)) is None
    assert share_of_best([0.6]) == pytest.approx(share_of_best([0.6, *[0.0] * (FIELD - 1)]))


def test_the_field_ends_after_the_best_of_many() -> None:
    assert share_of_best([1.0, *[0.1] * (FIELD - 1), *[0.1] * 500]) == share_of_best([1.0, *[0.1] * (FIELD - 1)])


@given(STRENGTHS, st.floats(0, 2))
def test_a_sure_tool_stays_sure_when_it_is_stronger_or_a_rival_is_weaker(strengths: list[float], more: float) -> None:
    best, *others = strengths
    if is_sure(field(best, *others)):
        assert is_sure(field(best + more, *others))
        assert is_sure(field(best, *sorted((max(other - more, 0.0) for other in others), reverse=True)))


@given(STRENGTHS)
def test_the_share_of_the_best_is_from_0_to_1(strengths: list[float]) -> None:
    assert 0.0 <= share_of_best(strengths) <= 1.0


@pytest.mark.parametrize("weak", [0.0, -0.5, -1_000.0])
def test_a_weak_best_tool_is_not_sure(weak: float) -> None:
    assert share_of_best([weak, weak - 1]) < SURE_SHARE


def near(*cosines: float) -> list[Ranked]:
    return [Ranked(str(UUID(int=index)), 1.0, {"dense": cosine}, Span(0, 1)) for index, cosine in enumerate(cosines)]


def test_a_memory_is_near_by_its_cosine_at_any_rank() -> None:
    assert is_near(near(0.1, IS_NEAR))
    assert not is_near(near(0.1, IS_NEAR - 0.01))
    assert not is_near(field(9.0))
