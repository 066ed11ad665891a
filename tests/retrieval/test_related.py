import pytest

from memos_mcp.domain.chunk import MAX_USES
from memos_mcp.retrieval.related import MAX_RELATED, LinkedPart, part_of, related_paths


def part(*uses: str, imports: tuple[str, ...] = (), path: str = "shop/app.py") -> LinkedPart:
    return LinkedPart("shop", path, uses, [one.split(".") for one in imports])


def test_a_file_that_alone_defines_a_used_name_is_related() -> None:
    assert related_paths(part("total"), {"total": ["shop/cart.py"]}) == ["shop/cart.py"]


def test_a_name_that_several_files_define_is_left_out() -> None:
    assert related_paths(part("get", "total"), {"get": ["a.py", "b.py"], "total": ["c.py"]}) == ["c.py"]


@pytest.mark.parametrize(
    ("imports", "paths", "expected"),
    [
        (("shop.cart.get",), ["shop/cart.py", "shop/stock.py"], "shop/cart.py"),
        (("shop.cart.get",), ["other/cart.py", "shop/cart.py"], "shop/cart.py"),
        (("get.cart",), ["src/cart.ts", "src/stock.ts"], "src/cart.ts"),
        (("shop.cart.get",), ["shop/cart/__init__.py", "shop/stock/__init__.py"], "shop/cart/__init__.py"),
        (("crate.cart.get",), ["src/cart/mod.rs", "src/stock.rs"], "src/cart/mod.rs"),
        (("shop.cart",), ["shop/cart.go", "shop/stock.go"], "shop/cart.go"),
        (("shop.Cart",), ["src/shop/Cart.java", "src/shop/Stock.java"], "src/shop/Cart.java"),
    ],
)
def test_an_import_decides_between_files_that_define_a_name(
    imports: tuple[str, ...], paths: list[str], expected: str
) -> None:
    assert related_paths(part("get", imports=imports), {"get": paths}) == [expected]


def test_an_import_that_fits_two_files_equally_decides_nothing() -> None:
    found = {"get": ["a/cart.py", "b/cart.py"]}

    assert related_paths(part("get", imports=("cart.get",)), found) == []


def test_a_name_that_is_imported_from_another_project_is_left_out() -> None:
    assert related_paths(part("dedent", imports=("textwrap.dedent",)), {"dedent": ["shop/text.py"]}) == []


def test_a_name_that_a_package_exports_again_is_found_in_its_module() -> None:
    assert related_paths(part("Shop", imports=("shop.Shop",)), {"Shop": ["shop/app/base.py"]}) == ["shop/app/base.py"]


def test_a_name_that_the_file_itself_defines_is_not_resolved() -> None:
    assert related_paths(part("run"), {"run": ["shop/app.py", "shop/cart.py"]}) == []


def test_files_of_imported_names_are_first_and_then_those_that_define_most() -> None:
    found = {"a": ["one.py"], "b": ["two.py"], "c": ["two.py"], "d": ["three.py"]}

    assert related_paths(part("a", "b", "c", "d", imports=("three.d",)), found) == ["three.py", "two.py", "one.py"]


def test_at_most_five_files_are_related() -> None:
    names = [f"name{number}" for number in range(9)]

    assert len(related_paths(part(*names), {name: [f"{name}.py"] for name in names})) == MAX_RELATED


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"source": "shop", "path": "a.py"},
        {"source": 1, "path": "a.py", "uses": ["a"]},
        {"source": "shop", "path": None, "uses": ["a"]},
        {"source": "shop", "path": "a.py", "uses": "a"},
        {"source": "shop", "path": "a.py", "uses": [1, None]},
    ],
)
def test_metadata_of_another_form_is_no_part(metadata: dict[str, object]) -> None:
    assert part_of(metadata) is None


def test_metadata_that_was_written_by_hand_costs_no_more_than_that_of_a_file() -> None:
    made = part_of({"source": "shop", "path": "a.py", "uses": [f"name{number}" for number in range(99)], "imports": 3})

    assert made is not None
    assert (len(made.uses), made.imports) == (MAX_USES, [])
