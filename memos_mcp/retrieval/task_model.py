"""Learns which tool a task is for: a linear discriminant of the tasks that each tool worked for. Pure.

The nearest past tasks vote for their own tools only; this model knows what all tasks of a tool have in common, and is
disturbed less by single wrong reports. The method is that of Hastie, Tibshirani and Friedman, The Elements of
Statistical Learning, 2nd edition, section 4.3, with the covariance shrunk towards a sphere (Friedman 1989). The
constants were chosen with those of `experience`, and checked in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from memos_mcp.domain.index import Vector

FEWEST: Final = 4
"""Past tasks for each tool, on average, from which a model is learnt. With two, it lost 1.0 on MetaTool, with one
1.5: the nearest tasks alone know better."""

SHRINKAGE: Final = 1.0
"""The variance that is added in each direction, as a share of the mean variance. With 6,000 past tasks of MetaTool, 0.3
loses 0.1 and 3 loses 0.3; with 1,000, 0.3 loses 0.7."""

TEMPERATURE: Final = 8.0
"""How far the probabilities of the model are flattened: a sentence of 384 numbers is no 384 observations. 2 loses 0.8
with 6,000 past tasks, and 12 loses 0.7 where every fifth of them is wrong."""


FAMILIAR: Final = 5.0
"""How many past tasks make a tool half as familiar as it can be; the probability of one that is less so counts less."""

SHOWN: Final = 20
"""The likeliest tools, which alone are given a share."""


@dataclass(frozen=True, slots=True)
class TaskModel:
    """The tools, with the direction of each in the space of vectors, its offset, and how familiar it is (0..1)."""

    tools: Sequence[str]
    directions: Vector
    offsets: Vector
    familiarity: Vector

    def shares(self, need: Vector) -> dict[str, float]:
        """Return the probability (0..1) of the likeliest tools for a need of this unit vector.

        That of an unfamiliar tool is lessened, so that they add up to less than 1.
        """
        scores = (self.directions @ need + self.offsets) / TEMPERATURE
        odds = np.exp(scores - scores.max())
        shares = odds / odds.sum() * self.familiarity
        return {self.tools[index]: float(shares[index]) for index in np.argsort(-shares, kind="stable")[:SHOWN]}


def learn(vectors: Vector, tools: Sequence[str], weights: Sequence[float]) -> TaskModel | None:
    """Return the model of these tasks, or None if there are too few.

    vectors: one row for each task that a tool worked for.  tools, weights: its tool, and how much the row counts.
    """
    names, labels = np.unique(np.asarray(tools), return_inverse=True)
    if len(labels) < FEWEST * len(names) or len(labels) == 0:
        return None
    weight = np.asarray(weights, dtype=np.float64)
    rows = np.asarray(vectors, dtype=np.float64)
    totals = np.bincount(labels, weight)
    means = np.zeros((len(names), rows.shape[1]))
    np.add.at(means, labels, rows * weight[:, None])
    means /= totals[:, None]
    deviations = rows - means[labels]
    covariance = (deviations * weight[:, None]).T @ deviations / weight.sum()
    spread = float(np.trace(covariance)) / len(covariance)
    if not spread > 0.0:  # each tool was used for one and the same task
        return None
    covariance[np.diag_indices_from(covariance)] += SHRINKAGE * spread
    directions = np.linalg.solve(covariance, means.T).T
    offsets = -0.5 * np.einsum("td,td->t", directions, means) + np.log(totals)
    used = np.bincount(labels)
    return TaskModel(
        names.tolist(),
        directions.astype(np.float32),
        offsets.astype(np.float32),
        (used / (used + FAMILIAR)).astype(np.float32),
    )
