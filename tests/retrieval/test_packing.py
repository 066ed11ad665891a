"""The guarantees of a pack, whatever the queries found."""

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


def kept_keys(stock: Stock) -> dict[str, str]:
    """Return, for each key, that of the first item with the same content."""
    first: dict[object, str] = {}
    return {item.key: first.setdefault(item.same, item.key) for item in stock}


def cost(packed: Pack) -> int:
    return sum(one.cost for one in packed.chosen)


@given(stocks, pinned, questions, budgets)
def test_pins_are_always_packed(stock: Stock, pins: list[str], queries: list[PackQuery], budget: int) -> None:
    packed = pack(stock, pins, queries, budget)
    kept = kept_keys(stock)
    reasons = {one.key: one.reason for one in packed.chosen}
    assert all(reasons[kept[key]] == "pinned" for key in pins)


@given(stocks, pinned, questions, budgets)
def test_only_pins_exceed_the_budget(stock: Stock, pins: list[str], queries: list[PackQuery], budget: int) -> None:
    packed = pack(stock, pins, queries, budget)
    assert packed.over == (cost(packed) > budget)
    if packed.over:
        assert {one.reason for one in packed.chosen} == {"pinned"}


@given(stocks, pinned, questions, budgets)
def test_a_pack_has_no_duplicates_and_only_pinned_or_found_items(
    stock: Stock, pins: list[str], queries: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, queries, budget)
    kept, same = kept_keys(stock), {item.key: item.same for item in stock}
    keys = [one.key for one in packed.chosen]
    assert len({same[key] for key in keys}) == len(keys)
    assert set(keys) <= {kept[key] for key in (*pins, *(find.key for query in queries for find in query.finds))}


@given(stocks, pinned, questions, budgets)
def test_each_item_costs_what_its_form_costs(
    stock: Stock, pins: list[str], queries: list[PackQuery], budget: int
) -> None:
    items = {item.key: item for item in stock}
    assert all(items[one.key].costs[one.form] == one.cost for one in pack(stock, pins, queries, budget).chosen)


@given(stocks, pinned, questions, budgets)
def test_a_need_is_covered_exactly_when_an_item_that_covers_it_is_packed(
    stock: Stock, pins: list[str], queries: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, queries, budget)
    kept, inside = kept_keys(stock), {one.key for one in packed.chosen}
    for index, query in enumerate(queries):
        covering = {kept[find.key] for find in query.finds if find.covers}
        assert (index in packed.covered) == (query.need and bool(covering & inside))
        assert (index in packed.cramped) == (query.need and bool(covering) and not covering & inside)


@given(stocks, pinned, questions, budgets, budgets)
def test_a_larger_budget_never_loses_a_covered_need(
    stock: Stock, pins: list[str], queries: list[PackQuery], budget: int, more: int
) -> None:
    assert pack(stock, pins, queries, budget).covered <= pack(stock, pins, queries, budget + more).covered


@given(stocks, pinned, questions, budgets)
def test_found_items_are_packed_or_counted_as_left_out(
    stock: Stock, pins: list[str], queries: list[PackQuery], budget: int
) -> None:
    packed = pack(stock, pins, queries, budget)
    kept, inside = kept_keys(stock), {one.key for one in packed.chosen}
    found = {kept[find.key] for query in queries for find in query.finds}
    assert packed.left_out == len(found - inside)


@given(stocks, pinned, questions, budgets)
def test_packing_is_deterministic(stock: Stock, pins: list[str], queries: list[PackQuery], budget: int) -> None:
    assert pack(stock, pins, queries, budget) == pack(stock, pins, queries, budget)


@given(stocks, pinned, questions)
def test_a_large_budget_packs_everything_whole(stock: Stock, pins: list[str], queries: list[PackQuery]) -> None:
    packed = pack(stock, pins, queries, 1_000)
    assert packed.left_out == 0
    assert {one.form for one in packed.chosen} <= {0}
    assert packed.cramped == set()


def item(key: str, *costs: int) -> PackItem:
    return PackItem(key, key, costs)


def need(reason: str, *finds: PackCandidate) -> PackQuery:
    return PackQuery(reason, finds, need=True)


def test_each_need_gets_its_best_item_and_the_rest_is_filled_by_score() -> None:
    queries = [
        need("a", PackCandidate("a1", 0.9, True), PackCandidate("a2", 0.8, True)),
        need("b", PackCandidate("b1", 0.4, True), PackCandidate("b2", 0.3, False)),
        PackQuery("task", [PackCandidate("t", 0.5, False)]),
    ]
    packed = pack([item(key, 10) for key in ("a1", "a2", "b1", "b2", "t")], [], queries, 40)
    assert [(one.key, one.reason, one.score) for one in packed.chosen] == [
        ("a1", "a", 0.9),
        ("b1", "b", 0.4),
        ("a2", "a", 0.8),
        ("t", "task", 0.5),
    ]
    assert packed.left_out == 1


def test_a_smaller_item_is_packed_when_the_best_one_would_leave_another_need_open() -> None:
    queries = [
        need("a", PackCandidate("large", 0.9, True), PackCandidate("small", 0.5, True)),
        need("b", PackCandidate("other", 0.4, True)),
    ]
    stock = [item("large", 18), item("small", 5), item("other", 5)]
    assert [one.key for one in pack(stock, [], queries, 20).chosen] == ["small", "other"]
    assert [one.key for one in pack(stock, [], queries, 23).chosen] == ["large", "other"]


def test_an_item_that_does_not_fit_whole_is_shortened() -> None:
    queries = [need("a", PackCandidate("long", 0.9, True))]
    assert [(one.form, one.cost) for one in pack([item("long", 50, 10)], [], queries, 30).chosen] == [(1, 10)]
    assert pack([item("long", 50, 10)], [], queries, 9).cramped == {0}


def test_pins_are_whole_up_to_the_ceiling_and_shortened_beyond_it() -> None:
    stock = [item("p", 50, 10), item("q", 60, 10), item("r", 10)]
    packed = pack(stock, ["p", "q"], [need("a", PackCandidate("r", 0.9, True))], 30, ceiling=60)
    assert [(one.key, one.form) for one in packed.chosen] == [("p", 0), ("q", 1)]
    assert packed.over
    assert packed.cramped == {0}


def test_a_pin_covers_a_need() -> None:
    packed = pack([item("p", 5)], ["p"], [need("a", PackCandidate("p", 0.9, True))], 0)
    assert (set(packed.covered), packed.left_out, packed.over) == ({0}, 0, True)
