"""A model that is learnt from past tasks."""

import numpy as np
import pytest

from memos_mcp.domain.index import Vector
from memos_mcp.retrieval.task_model import FEWEST, TaskModel, learn

TOOLS = ("mail", "map", "news")


def tasks(of_each: int, seed: int = 1) -> tuple[Vector, list[str]]:
    """Return unit vectors around one direction for each tool, and their tools."""
    chance = np.random.default_rng(seed)
    tools = [tool for tool in TOOLS for _ in range(of_each)]
    vectors = np.eye(16, dtype=np.float32)[[TOOLS.index(tool) for tool in tools]]
    vectors = vectors + 0.3 * chance.standard_normal(vectors.shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tools


def learnt(of_each: int) -> TaskModel:
    vectors, tools = tasks(of_each)
    model = learn(vectors, tools, [1.0] * len(tools))
    assert model is not None
    return model


def right(model: TaskModel, needs: Vector, tools: list[str]) -> int:
    """Return for how many needs their tool has the greatest share."""
    found = [model.shares(need) for need in needs]
    return sum(max(shares, key=lambda tool: shares[tool]) == tool for shares, tool in zip(found, tools, strict=True))


def test_a_need_like_the_tasks_of_a_tool_gives_that_tool_the_greatest_share() -> None:
    assert right(learnt(20), *tasks(20, seed=2)) > 50


def test_wrong_reports_hardly_change_what_was_learnt() -> None:
    vectors, tools = tasks(20)
    wrong = [TOOLS[number % 3] if number % 5 == 4 else tool for number, tool in enumerate(tools)]
    model = learn(vectors, wrong, [1.0] * len(tools))
    assert model is not None
    assert right(model, *tasks(20, seed=2)) > 50


def test_shares_are_less_for_tools_that_were_used_less() -> None:
    need = tasks(1, seed=3)[0][0]
    few, many = learnt(FEWEST).shares(need), learnt(40).shares(need)
    assert sum(few.values()) < sum(many.values()) < 1


@pytest.mark.parametrize("of_each", [0, 1, FEWEST - 1])
def test_nothing_is_learnt_from_few_tasks(of_each: int) -> None:
    vectors, tools = tasks(of_each)
    assert learn(vectors, tools, [1.0] * len(tools)) is None


def test_nothing_is_learnt_from_one_task_a_tool() -> None:
    vectors = np.repeat(np.eye(16, dtype=np.float32)[:3], 10, axis=0)
    assert learn(vectors, [tool for tool in TOOLS for _ in range(10)], [1.0] * 30) is None


def test_a_report_of_little_weight_counts_little() -> None:
    vectors, tools = tasks(20)
    flood = ["news"] * len(tools)
    model = learn(np.concatenate([vectors, vectors]), [*tools, *flood], [1.0] * len(tools) + [0.01] * len(flood))
    assert model is not None
    assert right(model, *tasks(20, seed=2)) > 50
