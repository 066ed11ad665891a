"""Counts the votes of past tasks for the tools that worked for them. Pure.

A need is a mixture: either it is like past tasks, and then what worked for these works, or the cold ranking knows
better. The nearest past tasks vote for their tools, each with a weight that falls with its distance. What a tool
gains is a concave function of its share of the votes, times how much evidence there is at all.

- A tool that nobody has used gets votes in proportion to the probability that the cold ranking gives it: that it has
  no votes says nothing against it. The more outcomes it has, the less it is given.
- Reports count less the older they are, and for older versions of a tool.
- What failed counts against a tool by the share of the failures, times how many there are.
- One agent's reports weigh at most as much as those of all others and `COLD_EVIDENCE` together.

The constants were chosen on MetaTool with 1,000 and 6,000 past tasks, and with every fifth of these wrong, and checked
on LiveMCPBench and StableToolBench, of which half of the questions were the history of the others, and on MetaTool
with the history of LiveMCPBench's tools. Gains and losses are nDCG@10.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from memos_mcp.domain.experience import Evidence, Reports
from memos_mcp.domain.index import Span
from memos_mcp.domain.tool import ToolExperience
from memos_mcp.retrieval.fusion import Ranked

NEIGHBOURS: Final = 30
"""The past tasks that vote. Beside the learnt model, 20 to 50 are equally good within 0.2 on MetaTool; 20 lose 0.5 on
StableToolBench, and more take longer to find and to count."""

BANDWIDTH: Final = 0.12
"""The loss of strength by which a vote weighs e times less. 0.10 and 0.15 lose 0.1 to 0.6 on MetaTool."""

UNUSED: Final = 0.1
"""How many outcomes make a tool known so well that no votes are imputed to it: it has half of them at this number.
Without imputed votes, questions whose tools nobody had used lost 8 to 24 points; with them 2, and with another domain's
history 0.1."""

PRIOR_SHARPNESS: Final = 12.0
"""How the cold strengths become the probabilities for imputed votes: a tool that is 0.1 stronger is 3.3 times as
probable. 20 loses 0.6 with another domain's history, 8 loses 1.3 there."""

LIKELY: Final = 20
"""The candidates that get imputed votes; the others would share a hundredth of them."""

SMOOTHING: Final = 0.1
"""The weight of votes at which half of the bonus is given: some three tasks at a strength of 0.6. 0.2 loses 0.2
on MetaTool; with 0.03 one far vote would count three times as much."""

CONCAVITY: Final = 200.0
"""How concave the gain is: a hundredth of the votes has a fifth of it, since a question may need several tools, and a
popular tool has many past tasks. 30 loses 0.3."""

MAX_BONUS: Final = 1.2
"""The gain of a tool that has all the votes, as a strength. 1.0 loses 0.1; from 1.5 on, histories of other tools cost
more than they give elsewhere."""

FAILURES: Final = 1.0
"""The weight of failures at which they count half: one may be due to the arguments of the call."""

LEARNT: Final = 2.0
"""What the learnt model weighs against the votes of the nearest tasks. 1 loses 0.2 with 6,000 past tasks; 3 gains
nothing and loses 0.4 on StableToolBench. Without the model, 1.6 are lost with 6,000 past tasks, 1.9 where every fifth
is wrong, and 0.1 with 1,000."""

COLD_EVIDENCE: Final = 1.0
"""What the cold ranking weighs against one agent's reports: as much as one past task that is the same. With less, where
all reports come from one agent, they lose: 0.5 loses 0.3, 0.25 loses 0.9."""

SHOWN: Final = 0.5
"""The strength from which past tasks are counted in an answer: those below vote and say little by themselves."""

HALF_LIFE_DAYS: Final = 180.0
OLDER_VERSION: Final = 0.5
"""What a report loses by age, and because the tool was changed since: chosen, since no public history has times."""


@dataclass(frozen=True, slots=True)
class Votes:
    """The candidates with what they gained or lost, best first, and the experience with those that have any."""

    ranked: Sequence[Ranked]
    counted: Mapping[str, ToolExperience] = field(default_factory=dict)


class Near(NamedTuple):
    """A past task near a need: its strength, as a tool's is a cosine plus a part of its BM25 score."""

    task_id: UUID
    strength: float


def likely(ranked: Sequence[Ranked]) -> list[UUID]:
    """Return the candidates that get a noticeable share of the votes for tools that nobody has used."""
    return [hit.item_id for hit in ranked[:LIKELY]]


def count_votes(
    ranked: Sequence[Ranked],
    near: Iterable[Near],
    found: Evidence,
    learnt: Mapping[str, float],
    now: datetime,
) -> Votes:
    """Return the candidates after the vote. A tool that only past tasks propose has the strength of the weakest one.

    There are as many as before: the weakest are left out in favour of those that past tasks propose.
    found: what was reported for the near tasks, and how often the `likely` tools were used.
    learnt: the probabilities that the learnt model gives to tools, if there is one.
    """
    reports = found.reports
    strengths = {one.task_id: one.strength for one in near}
    weights = _weights(strengths, reports, now)
    evidence = sum(weights)
    if not evidence:
        return Votes(ranked)
    worked, failed = defaultdict[str, float](float), defaultdict[str, float](float)
    for one, weight in zip(reports, weights, strict=True):
        worked[str(one.tool)] += weight * one.worked / one.outcomes
        failed[str(one.tool)] += weight * (one.outcomes - one.worked) / one.outcomes
    for item, share in learnt.items():
        worked[item] += LEARNT * evidence * share
    for item, votes in _imputed(ranked, found.uses, (1 + LEARNT * sum(learnt.values())) * evidence).items():
        worked[item] += votes
    bonuses = _bonuses(worked, failed)
    weakest = min((hit.strength for hit in ranked), default=0.0)
    known = {hit.item for hit in ranked}
    proposed = [Ranked(item, weakest, {}, Span(0, 0)) for item in bonuses if item not in known]
    changed = [hit._replace(strength=hit.strength + bonuses.get(hit.item, 0.0)) for hit in (*ranked, *proposed)]
    changed.sort(key=lambda hit: (-hit.strength, hit.item))
    return Votes(changed[: max(len(ranked), NEIGHBOURS)], _counted(strengths, reports))


def _weights(near: Mapping[UUID, float], reports: Sequence[Reports], now: datetime) -> list[float]:
    """Return the weight of each report, after those of each agent together were limited."""
    weights = [math.exp((near[one.task_id] - 1) / BANDWIDTH) * currency(one, now) for one in reports]
    return limited(weights, [one.agent_id for one in reports])


def currency(report: Reports, now: datetime) -> float:
    """Return what a report still counts (0..1), by its age and the version of its tool."""
    days = max((now - report.newest).total_seconds(), 0.0) / 86_400
    return math.pow(0.5, days / HALF_LIFE_DAYS) * (OLDER_VERSION if report.behind > 0 else 1.0)


def limited(weights: Sequence[float], agents: Sequence[str]) -> list[float]:
    """Return the weights of reports by these agents, of which none weighs more than all others and `COLD_EVIDENCE`."""
    of_agent = defaultdict[str, float](float)
    for agent, weight in zip(agents, weights, strict=True):
        of_agent[agent] += weight
    total = sum(of_agent.values())
    factors = {agent: min(1.0, (total - own + COLD_EVIDENCE) / own) for agent, own in of_agent.items() if own > 0}
    return [weight * factors.get(agent, 0.0) for agent, weight in zip(agents, weights, strict=True)]


def _imputed(ranked: Sequence[Ranked], uses: Mapping[UUID, int], evidence: float) -> dict[str, float]:
    """Return the votes that the likely candidates get for want of outcomes."""
    candidates = ranked[:LIKELY]
    odds = [math.exp(PRIOR_SHARPNESS * (hit.strength - candidates[0].strength)) for hit in candidates]
    return {
        hit.item: evidence * one / sum(odds) * UNUSED / (UNUSED + uses.get(hit.item_id, 0))
        for hit, one in zip(candidates, odds, strict=True)
    }


def _bonuses(worked: Mapping[str, float], failed: Mapping[str, float]) -> dict[str, float]:
    """Return what each tool gains or loses."""
    total = sum(worked.values()) + sum(failed.values())
    scale = MAX_BONUS * total / (total + SMOOTHING) / math.log1p(CONCAVITY)

    def gain(votes: float) -> float:
        return scale * math.log1p(CONCAVITY * votes / total)

    return {
        item: gain(worked.get(item, 0.0)) - gain(failed.get(item, 0.0)) * _enough(failed.get(item, 0.0))
        for item in dict.fromkeys((*worked, *failed))
    }


def _enough(failures: float) -> float:
    """Return how far so many failures prove something: one may be due to the arguments."""
    return failures / (failures + FAILURES)


def _counted(near: Mapping[UUID, float], reports: Sequence[Reports]) -> dict[str, ToolExperience]:
    tasks = defaultdict[str, dict[UUID, bool]](dict)
    for one in reports:
        if near[one.task_id] < SHOWN:
            continue
        of_tool = tasks[str(one.tool)]
        of_tool[one.task_id] = of_tool.get(one.task_id, False) or 2 * one.worked >= one.outcomes
    return {item: ToolExperience(len(of_tool), sum(of_tool.values())) for item, of_tool in tasks.items()}
