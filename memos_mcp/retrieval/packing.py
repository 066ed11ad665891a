"""Packs the candidates of several needs into a budget: pure, deterministic, and a larger budget never loses a need.

First as many needs as possible are covered, each by its cheapest candidate. Then, need by need, the best candidate
replaces the cheapest, and shortened items get longer forms, as far as no other need is lost. The remaining budget is
filled by score. A plain greedy packing covers fewer needs at the same budget: see `benchmarks/packing.py`.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

PINNED: Final = "pinned"


@dataclass(frozen=True, slots=True)
class PackItem:
    """Something that can be packed. `costs` are those of its forms, the whole first, each shorter one cheaper.

    Items with equal keys, or with equal `same`, are duplicates: only the first of them counts.
    """

    key: str
    same: Hashable
    costs: Sequence[int]

    @property
    def min_cost(self) -> int:
        """The cost of the shortest form."""
        return self.costs[-1]


class PackCandidate(NamedTuple):
    """An item that a query found. Candidates that do not cover the query are related to it and only fill the pack."""

    key: str
    score: float
    covers: bool


@dataclass(frozen=True, slots=True)
class PackQuery:
    """A query and what it found, best first. A `need` is to be covered."""

    reason: str
    finds: Sequence[PackCandidate]
    need: bool = False


@dataclass(frozen=True, slots=True)
class PackedItem:
    """An item in the pack, in which of its forms, and why. `score` is None for pins."""

    key: str
    form: int
    cost: int
    reason: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Pack:
    """Pins first, then one item for each need, then the rest by score. `covered` and `cramped` are indices of queries.

    cramped: needs with a candidate that covers them, but not within the budget.  over: the pins exceed the budget.
    """

    chosen: Sequence[PackedItem]
    covered: frozenset[int]
    cramped: frozenset[int]
    left_out: int
    over: bool


def pack(
    items: Iterable[PackItem], pins: Sequence[str], queries: Sequence[PackQuery], budget: int, ceiling: int = 10_000
) -> Pack:
    """Choose what to pack. Every pin is packed, in its whole form until the pins exceed `ceiling`, then shortened."""
    by_key = _by_key(items)
    found = [_best_first(by_key, query.finds) for query in queries]
    pinned = _longest_forms((by_key[key] for key in pins), ceiling)
    candidates = {
        index: [by_key[find.key] for find in found[index].values() if find.covers]
        for index, query in enumerate(queries)
        if query.need
    }
    covered = {index for index, covering in candidates.items() if any(item.key in pinned for item in covering)}
    available = budget - _cost(by_key, pinned)
    needs = {index: covering for index, covering in candidates.items() if index not in covered}
    assigned, spent = _cover_cheaply(needs, available)
    _improve(assigned, needs, available)
    forms = _longest_forms(assigned.values(), available)
    # What improving saves is not spent: it could cover a need that a larger budget would not.
    forms |= _fill(by_key, found, pinned.keys() | forms.keys(), available - max(spent, _cost(by_key, forms)))
    covered |= assigned.keys()
    packed = [
        *(_packed(by_key[key], form, None, queries, found) for key, form in pinned.items()),
        *(_packed(by_key[key], form, assigned, queries, found) for key, form in forms.items()),
    ]
    return Pack(
        packed,
        frozenset(covered),
        frozenset(index for index, covering in candidates.items() if covering and index not in covered),
        len({key for finds in found for key in finds} - pinned.keys() - forms.keys()),
        over=available < 0,
    )


def _by_key(items: Iterable[PackItem]) -> dict[str, PackItem]:
    """Return, for each key, the first item with this key or with the same content."""
    by_key: dict[str, PackItem] = {}
    by_content: dict[Hashable, PackItem] = {}
    for item in items:
        first = by_key.get(item.key) or by_content.get(item.same) or item
        by_key.setdefault(item.key, first)
        by_content.setdefault(item.same, first)
    return by_key


def _best_first(by_key: Mapping[str, PackItem], finds: Sequence[PackCandidate]) -> dict[str, PackCandidate]:
    """Return one candidate an item, by its key; duplicates have the best score, and cover if one of them covers."""
    merged: dict[str, PackCandidate] = {}
    for find in finds:
        key = by_key[find.key].key
        before = merged.get(key, PackCandidate(key, find.score, covers=False))
        merged[key] = PackCandidate(key, max(before.score, find.score), before.covers or find.covers)
    return dict(sorted(merged.items(), key=lambda item: -item[1].score))


def _longest_forms(items: Iterable[PackItem], available: int) -> dict[str, int]:
    """Return a form for every item: the first ones in the longest form for which all others still fit in some form."""
    distinct = {item.key: item for item in items}
    available -= sum(item.min_cost for item in distinct.values())
    forms: dict[str, int] = {}
    for key, item in distinct.items():
        form = _longest(item, available + item.min_cost)
        forms[key] = len(item.costs) - 1 if form is None else form
        available -= item.costs[forms[key]] - item.min_cost
    return forms


def _longest(item: PackItem, available: int) -> int | None:
    return next((form for form, cost in enumerate(item.costs) if cost <= available), None)


def _cover_cheaply(needs: Mapping[int, Sequence[PackItem]], available: int) -> tuple[dict[int, PackItem], int]:
    """Return the item that covers each need, and their cost: the cheapest item first, while the budget allows.

    The items and their order do not depend on the budget, and their costs do not fall. So a larger budget covers the
    same needs and perhaps more, and nothing that still fits could cover a need that is open at the end.
    """
    assigned: dict[int, PackItem] = {}
    spent = 0
    while remaining := [item for index, covering in needs.items() if index not in assigned for item in covering]:
        cheapest = min(remaining, key=lambda item: item.min_cost)
        if spent + cheapest.min_cost > available:
            break
        spent += cheapest.min_cost
        assigned |= {
            index: cheapest for index, covering in needs.items() if index not in assigned and cheapest in covering
        }
    return dict(sorted(assigned.items())), spent


def _improve(assigned: dict[int, PackItem], needs: Mapping[int, Sequence[PackItem]], available: int) -> None:
    """Give each need, in their order, the best item that covers it, as far as every need keeps one.

    Items that also cover an open need are skipped: a larger budget might not choose them again, and lose that need.
    """
    skipped = {item.key for index, covering in needs.items() if index not in assigned for item in covering}
    for index, current in assigned.items():
        for better in needs[index]:
            trial = assigned | {index: better}
            cost = sum({item.key: item.min_cost for item in trial.values()}.values())
            if better == current or (better.key not in skipped and cost <= available):
                assigned[index] = better
                break


def _fill(
    by_key: Mapping[str, PackItem],
    found: Sequence[Mapping[str, PackCandidate]],
    packed: Collection[str],
    available: int,
) -> dict[str, int]:
    """Return the form of each further item that fits, by score, each in the longest form that fits."""
    scores: dict[str, float] = {}
    for finds in found:
        for key, find in finds.items():
            scores[key] = max(find.score, scores.get(key, find.score))
    forms: dict[str, int] = {}
    for key in sorted((key for key in scores if key not in packed), key=lambda key: -scores[key]):
        form = _longest(by_key[key], available)
        if form is not None:
            forms[key] = form
            available -= by_key[key].costs[form]
    return forms


def _cost(by_key: Mapping[str, PackItem], forms: Mapping[str, int]) -> int:
    return sum(by_key[key].costs[form] for key, form in forms.items())


def _packed(
    item: PackItem,
    form: int,
    assigned: Mapping[int, PackItem] | None,
    queries: Sequence[PackQuery],
    found: Sequence[Mapping[str, PackCandidate]],
) -> PackedItem:
    """Return the item with its reason: its pin, else the first need it covers, else the query of its best score."""
    if assigned is None:
        return PackedItem(item.key, form, item.costs[form], PINNED, None)
    scored = [index for index, finds in enumerate(found) if item.key in finds]
    best = max(scored, key=lambda index: found[index][item.key].score)
    index = next((index for index, other in assigned.items() if other.key == item.key), best)
    return PackedItem(item.key, form, item.costs[form], queries[index].reason, found[index][item.key].score)
