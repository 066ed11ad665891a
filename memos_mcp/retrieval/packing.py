"""Packs what was found for several needs into a budget: pure, deterministic, and more budget never loses a need.

First as many needs as can be are covered, each by the cheapest that covers it. Then, need by need, the best that covers
it takes the place of the cheapest, and shortened things are given whole, as far as that loses no other need. What
room is left is filled by score.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

PINNED: Final = "pinned"


@dataclass(frozen=True, slots=True)
class PackItem:
    """Something that can be packed. `costs` are those of its forms, the whole first, each shorter one cheaper.

    Offers with equal keys, or with equal `same`, are one: the first of them.
    """

    key: str
    same: Hashable
    costs: Sequence[int]

    @property
    def least(self) -> int:
        """The cost of the shortest form."""
        return self.costs[-1]


class PackCandidate(NamedTuple):
    """An offer that was found. One that does not cover what was asked is related to it, and good to fill with."""

    key: str
    score: float
    covers: bool


@dataclass(frozen=True, slots=True)
class PackQuery:
    """A question and what was found for it, best first. A need wants to be covered."""

    reason: str
    finds: Sequence[PackCandidate]
    need: bool = False


@dataclass(frozen=True, slots=True)
class PackedItem:
    """An offer in the pack, in which of its forms, and why. `score` is None for what was pinned and not found."""

    key: str
    form: int
    cost: int
    reason: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Pack:
    """Pins first, then one for each need, then the rest by score. `covered` and `cramped` are places in `asks`.

    cramped: needs that something would cover for which there was no room.  over: the pins alone exceed the budget.
    """

    chosen: Sequence[PackedItem]
    covered: frozenset[int]
    cramped: frozenset[int]
    left_out: int
    over: bool


def pack(
    offers: Iterable[PackItem], pins: Sequence[str], asks: Sequence[PackQuery], budget: int, ceiling: int = 10_000
) -> Pack:
    """Choose what goes into the budget. Every pin does, whole until all of them exceed the ceiling, then shortened."""
    one = _distinct(offers)
    found = [_best_first(one, ask.finds) for ask in asks]
    fixed = _pinned({one[key].key: one[key] for key in pins}, ceiling)
    needs = {
        at: [one[find.key] for find in found[at].values() if find.covers] for at, ask in enumerate(asks) if ask.need
    }
    covered = {at for at, able in needs.items() if any(offer.key in fixed for offer in able)}
    room = budget - _cost(one, fixed)
    assigned, spent = _cheapest({at: able for at, able in needs.items() if at not in covered}, room)
    _improve(assigned, {at: able for at, able in needs.items() if at not in covered}, room)
    forms = _grow(assigned, room)
    # What improving saves is not spent: it could cover a need that a larger budget would not.
    forms |= _fill(one, found, fixed.keys() | forms.keys(), room - max(spent, _cost(one, forms)))
    covered |= assigned.keys()
    return Pack(
        [_chosen(one[key], form, asks, found, assigned, pinned=key in fixed) for key, form in (fixed | forms).items()],
        frozenset(covered),
        frozenset(at for at, able in needs.items() if able and at not in covered),
        len({key for finds in found for key in finds} - fixed.keys() - forms.keys()),
        over=room < 0,
    )


def _distinct(offers: Iterable[PackItem]) -> dict[str, PackItem]:
    """Return, for each key, the first offer with this key or with the same content."""
    by_key: dict[str, PackItem] = {}
    by_content: dict[Hashable, PackItem] = {}
    for offer in offers:
        first = by_key.get(offer.key) or by_content.get(offer.same) or offer
        by_key.setdefault(offer.key, first)
        by_content.setdefault(offer.same, first)
    return by_key


def _best_first(one: Mapping[str, PackItem], finds: Sequence[PackCandidate]) -> dict[str, PackCandidate]:
    """Return the finds by the offer that stands for them; of several the better one, covering if any covers."""
    merged: dict[str, PackCandidate] = {}
    for find in finds:
        key = one[find.key].key
        before = merged.get(key, PackCandidate(key, find.score, covers=False))
        merged[key] = PackCandidate(key, max(before.score, find.score), before.covers or find.covers)
    return dict(sorted(merged.items(), key=lambda item: -item[1].score))


def _pinned(pins: Mapping[str, PackItem], ceiling: int) -> dict[str, int]:
    """Return the form of each pin: the whole, as long as all others could still come in some form."""
    room = ceiling - sum(offer.least for offer in pins.values())
    forms: dict[str, int] = {}
    for key, offer in pins.items():
        forms[key] = _longest(offer, room + offer.least, at_worst=len(offer.costs) - 1)
        room -= offer.costs[forms[key]] - offer.least
    return forms


def _longest(offer: PackItem, room: int, at_worst: int) -> int:
    return next((form for form, cost in enumerate(offer.costs) if cost <= room), at_worst)


def _cheapest(needs: Mapping[int, Sequence[PackItem]], room: int) -> tuple[dict[int, PackItem], int]:
    """Cover needs by the cheapest that covers any, then the next cheapest, while there is room; return the sum, too.

    What is taken, and in which order, does not depend on the room, and the costs do not fall: with more room the same
    needs are covered, and perhaps more; and what is still open when it stops, nothing that fits could cover.
    """
    assigned: dict[int, PackItem] = {}
    spent = 0
    while still := [offer for at, able in needs.items() if at not in assigned for offer in able]:
        cheapest = min(still, key=lambda offer: offer.least)
        if spent + cheapest.least > room:
            break
        spent += cheapest.least
        assigned |= {at: cheapest for at, able in needs.items() if at not in assigned and cheapest in able}
    return dict(sorted(assigned.items())), spent


def _improve(assigned: dict[int, PackItem], needs: Mapping[int, Sequence[PackItem]], room: int) -> None:
    """Give each need in turn the best that covers it, as far as every need keeps something.

    What would also cover a need that had no room is passed over: with a larger budget it might not be chosen again,
    and that need would be lost.
    """
    lucky = {offer.key for at, able in needs.items() if at not in assigned for offer in able}
    for at, current in assigned.items():
        for better in needs[at]:
            trial = assigned | {at: better}
            cost = sum({offer.key: offer.least for offer in trial.values()}.values())
            if better == current or (better.key not in lucky and cost <= room):
                assigned[at] = better
                break


def _grow(assigned: Mapping[int, PackItem], room: int) -> dict[str, int]:
    """Return the form of each assigned offer, longer ones as far as there is room."""
    offers = {offer.key: offer for offer in assigned.values()}
    room -= sum(offer.least for offer in offers.values())
    forms: dict[str, int] = {}
    for key, offer in offers.items():
        forms[key] = _longest(offer, room + offer.least, at_worst=len(offer.costs) - 1)
        room -= offer.costs[forms[key]] - offer.least
    return forms


def _fill(
    one: Mapping[str, PackItem], found: Sequence[Mapping[str, PackCandidate]], taken: Collection[str], room: int
) -> dict[str, int]:
    """Return what else fits, by score, each in the longest form that does."""
    scores: dict[str, float] = {}
    for finds in found:
        for key, find in finds.items():
            scores[key] = max(find.score, scores.get(key, find.score))
    forms: dict[str, int] = {}
    for key in sorted((key for key in scores if key not in taken), key=lambda key: -scores[key]):
        form = _longest(one[key], room, at_worst=-1)
        if form >= 0:
            forms[key] = form
            room -= one[key].costs[form]
    return forms


def _cost(one: Mapping[str, PackItem], forms: Mapping[str, int]) -> int:
    return sum(one[key].costs[form] for key, form in forms.items())


def _chosen(
    offer: PackItem,
    form: int,
    asks: Sequence[PackQuery],
    found: Sequence[Mapping[str, PackCandidate]],
    assigned: Mapping[int, PackItem],
    *,
    pinned: bool,
) -> PackedItem:
    """Tell why: because of its pin, else of the first need that it was taken for, else of where it scored best."""
    scored = [at for at, finds in enumerate(found) if offer.key in finds]
    best = max(scored, key=lambda at: found[at][offer.key].score, default=None)
    at = next((at for at, taken in assigned.items() if taken.key == offer.key), best)
    reason = PINNED if pinned or at is None else asks[at].reason
    score = None if at is None or pinned else found[at][offer.key].score
    return PackedItem(offer.key, form, offer.costs[form], reason, score)
