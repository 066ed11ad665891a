"""What a pack promises, whatever was found."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.retrieval.packing import Pack, PackCandidate, PackItem, PackQuery, pack

KEYS = [f"k{number}" for number in range(8)]

costs = st.lists(st.integers(1, 40), min_size=1, max_size=3, unique=True).map(lambda some: sorted(some, reverse=True))
stocks = st.tuples(*(st.builds(PackItem, st.just(key), st.sampled_from("abcdefghijkl"), costs) for key in KEYS))
finds = st.lists(
    st.builds(PackCandidate, st.sampled_from(KEYS), st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9]), st.booleans()),
    max_size=8,
)
questions = st.lists(st.builds(PackQuery, st.sampled_from(["x", "y", "z"]), finds, st.booleans()), max_size=5)
pinned = st.lists(st.sampled_from(KEYS), max_size=3, unique=True)
budgets = st.integers(0, 120)
Stock = Sequence[PackItem]


def stand_ins(stock: Stock) -> dict[str, str]:
    """The key that stands for each: the first with the same content."""
    first: dict[object, str] = {}
    return {offer.key: first.setdefault(offer.same, offer.key) for offer in stock}


def cost(packed: Pack) -> int:
    return sum(one.cost for one in packed.chosen)


@given(stocks, pinned, questions, budgets)
def test_pins_are_always_in(stock: Stock, pins: list[str], asks: list[PackQuery], budget: int) -> None:
    packed = pack(stock, pins, asks, budget)
    stands = stand_ins(stock)
    reasons = {one.key: one.reason for one in packed.chosen}
    assert all(reasons[stands[key]] == "pinned" for key in pins)


@given(stocks, pinned, questions, budgets)
def test_the_budget_is_never_exceeded_but_by_pins_alone(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, asks, budget)
    assert packed.over == (cost(packed) > budget)
    if packed.over:
        assert {one.reason for one in packed.chosen} == {"pinned"}


@given(stocks, pinned, questions, budgets)
def test_nothing_comes_twice_and_nothing_that_was_neither_pinned_nor_found(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, asks, budget)
    stands, same = stand_ins(stock), {offer.key: offer.same for offer in stock}
    keys = [one.key for one in packed.chosen]
    assert len({same[key] for key in keys}) == len(keys)
    assert set(keys) <= {stands[key] for key in (*pins, *(find.key for ask in asks for find in ask.finds))}


@given(stocks, pinned, questions, budgets)
def test_each_comes_in_one_of_its_forms_at_that_forms_cost(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    offers = {offer.key: offer for offer in stock}
    assert all(offers[one.key].costs[one.form] == one.cost for one in pack(stock, pins, asks, budget).chosen)


@given(stocks, pinned, questions, budgets)
def test_a_need_is_covered_exactly_when_something_that_covers_it_is_in(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, asks, budget)
    stands, inside = stand_ins(stock), {one.key for one in packed.chosen}
    for at, ask in enumerate(asks):
        able = {stands[find.key] for find in ask.finds if find.covers}
        assert (at in packed.covered) == (ask.need and bool(able & inside))
        assert (at in packed.cramped) == (ask.need and bool(able) and not able & inside)


@given(stocks, pinned, questions, budgets, budgets)
def test_more_budget_never_loses_a_covered_need(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int, more: int
) -> None:
    assert pack(stock, pins, asks, budget).covered <= pack(stock, pins, asks, budget + more).covered


@given(stocks, pinned, questions, budgets)
def test_what_was_found_is_in_or_counted_as_left_out(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, asks, budget)
    stands, inside = stand_ins(stock), {one.key for one in packed.chosen}
    found = {stands[find.key] for ask in asks for find in ask.finds}
    assert packed.left_out == len(found - inside)


@given(stocks, pinned, questions, budgets)
def test_the_same_question_has_the_same_answer(
    stock: Stock, pins: list[str], asks: list[PackQuery], budget: int
) -> None:
    assert pack(stock, pins, asks, budget) == pack(stock, pins, asks, budget)


@given(stocks, pinned, questions)
def test_with_room_for_all_all_come_whole_and_each_need_has_its_best(
    stock: Stock, pins: list[str], asks: list[PackQuery]
) -> None:
    packed = pack(stock, pins, asks, 1_000)
    assert packed.left_out == 0
    assert {one.form for one in packed.chosen} <= {0}
    assert packed.cramped == set()


def offer(key: str, *costs: int) -> PackItem:
    return PackItem(key, key, costs)


def need(reason: str, *finds: PackCandidate) -> PackQuery:
    return PackQuery(reason, finds, need=True)


def test_each_need_gets_its_best_and_the_rest_comes_by_score() -> None:
    asks = [
        need("a", PackCandidate("a1", 0.9, True), PackCandidate("a2", 0.8, True)),
        need("b", PackCandidate("b1", 0.4, True), PackCandidate("b2", 0.3, False)),
        PackQuery("task", [PackCandidate("t", 0.5, False)]),
    ]
    packed = pack([offer(key, 10) for key in ("a1", "a2", "b1", "b2", "t")], [], asks, 40)
    assert [(one.key, one.reason, one.score) for one in packed.chosen] == [
        ("a1", "a", 0.9),
        ("b1", "b", 0.4),
        ("a2", "a", 0.8),
        ("t", "task", 0.5),
    ]
    assert packed.left_out == 1


def test_a_large_best_gives_way_to_a_smaller_one_when_another_need_would_get_nothing() -> None:
    asks = [
        need("a", PackCandidate("large", 0.9, True), PackCandidate("small", 0.5, True)),
        need("b", PackCandidate("other", 0.4, True)),
    ]
    stock = [offer("large", 18), offer("small", 5), offer("other", 5)]
    assert [one.key for one in pack(stock, [], asks, 20).chosen] == ["small", "other"]
    assert [one.key for one in pack(stock, [], asks, 23).chosen] == ["large", "other"]


def test_what_does_not_fit_whole_comes_shortened() -> None:
    asks = [need("a", PackCandidate("long", 0.9, True))]
    assert [(one.form, one.cost) for one in pack([offer("long", 50, 10)], [], asks, 30).chosen] == [(1, 10)]
    assert pack([offer("long", 50, 10)], [], asks, 9).cramped == {0}


def test_pins_come_whole_until_the_ceiling_and_shortened_beyond_it() -> None:
    stock = [offer("p", 50, 10), offer("q", 60, 10), offer("r", 10)]
    packed = pack(stock, ["p", "q"], [need("a", PackCandidate("r", 0.9, True))], 30, ceiling=60)
    assert [(one.key, one.form) for one in packed.chosen] == [("p", 0), ("q", 1)]
    assert packed.over
    assert packed.cramped == {0}


def test_a_pin_covers_what_it_answers() -> None:
    packed = pack([offer("p", 5)], ["p"], [need("a", PackCandidate("p", 0.9, True))], 0)
    assert (set(packed.covered), packed.left_out, packed.over) == ({0}, 0, True)
