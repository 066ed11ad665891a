from hashlib import sha256
from pathlib import Path

import pytest

from memos_mcp.domain.chunk import MAX_USES, Links
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.code.grammars import GRAMMARS
from memos_mcp.ingest.code.used_names import MAX_IMPORTS, QUERIES
from memos_mcp.ingest.files.languages import language
from memos_mcp.ingest.reading import SourceText

SAMPLES = Path(__file__).parent / "samples"


def links(path: str, text: str) -> list[Links]:
    digest = sha256(text.encode()).digest()
    return [chunk.links for chunk in chunks(SourceText(path, digest, language(path, text), text))]


def only(path: str, text: str) -> Links:
    (one,) = links(path, text)
    return one


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "shop/app.py",
            (
                "from shop.cart import total as sum_of, Cart\n\n"
                "@cached\nclass App(Base):\n    x: Cart = shop.make(sum_of(1))\n"
            ),
            Links(("App",), ("Cart", "sum_of", "cached", "Base", "make"), ("shop.cart.total.sum_of.Cart",)),
        ),
        (
            "app.js",
            "import { total } from './cart';\nexport class App extends Base { run() { return new Till(total(1)); } }\n",
            Links(("App",), ("total", "Base", "Till"), ("total.cart",)),
        ),
        (
            "app.tsx",
            "import Cart from '@/cart';\nexport const App = (p: Props) => { return <Cart items={load(p)} />; };\n",
            Links(("App",), ("Cart", "Props", "load"), ("Cart.cart",)),
        ),
        (
            "app.go",
            'package a\n\nimport "shop/cart"\n\nfunc Run(c cart.Cart) { cart.Total(c); other() }\n',
            Links(("Run",), ("Cart", "Total", "other"), ("shop.cart",)),
        ),
        (
            "app.rs",
            "use crate::cart::Total;\nfn run(c: Total) { c.add(); shop::make(); log!(1); }\n",
            Links(("run",), ("Total", "add", "log", "make"), ("crate.cart.Total",)),
        ),
        (
            "App.java",
            "import shop.Cart;\nclass App { void run(Cart c) { c.add(new Line()); } }\n",
            Links(("App",), ("Cart", "Line", "add"), ("shop.Cart",)),
        ),
        (
            "app.c",
            '#include "cart.h"\nint run(cart *c) { return total(c); }\n',
            Links(("run",), ("cart", "total"), ("cart.h",)),
        ),
        ("run.sh", "build() {\n  compile_all src\n}\n", Links(("build",), ("compile_all",), ())),
        (
            "a.sql",
            "CREATE VIEW shop.open AS SELECT total(o.id) FROM shop.orders AS o;\n",
            Links(("open",), ("orders", "total"), ()),
        ),
    ],
)
def test_calls_types_and_imports_are_the_names_that_a_part_uses(path: str, text: str, expected: Links) -> None:
    assert only(path, text) == expected


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_the_query_of_each_language_finds_names_in_code(name: str) -> None:
    sample = next((file for file in SAMPLES.iterdir() if language(file.name, file.read_text()) == name), None)
    if sample is not None:
        assert any(one.uses for one in links(sample.name, sample.read_text()))
    else:
        suffixes = {"python": "py", "javascript": "js", "typescript": "ts", "tsx": "tsx", "go": "go", "c": "c"}
        suffix = suffixes.get(name, {"rust": "rs", "java": "java", "cpp": "cpp"}.get(name, ""))
        call = {"go": "package a\nfunc b() { work() }\n", "rust": "fn b() { work(); }\n", "python": "work()\n"}
        java = "class B { void b() { work(); } }\n"
        text = call.get(
            name, java if name == "java" else "int b() { return work(); }\n" if name in "cpp" else "work();\n"
        )
        assert only(f"a.{suffix}", text).uses == ("work",)


def test_every_language_that_calls_has_a_query() -> None:
    assert GRAMMARS.keys() - QUERIES.keys() == {"hcl", "terraform", "yaml"}


def test_names_that_a_part_defines_or_python_has_are_not_used_names() -> None:
    assert only("a.py", "def load():\n    return len(load()) + work() + a.__init__()\n").uses == ("work",)


def test_links_are_bounded_and_imported_names_are_first() -> None:
    calls = "".join(f"    helper_{number}()\n" for number in range(20))
    imports = "".join(f"from shop.module_{number} import helper_{number}\n" for number in range(10, 20))
    *_, last = links("a.py", f"{imports}\n\ndef run():\n{calls}")

    assert len(last.uses) == MAX_USES
    assert last.uses[:10] == tuple(f"helper_{number}" for number in range(10, 20))
    assert len(last.imports) == MAX_IMPORTS


def test_a_long_import_keeps_its_module_and_the_names_that_a_part_has() -> None:
    names = ", ".join(f"name_{number}" for number in range(60))
    users = "\n\n".join(f"def use_{number}():\n    return name_{number}('{'word ' * 50}')" for number in range(60))
    made = links("a.py", f"from shop.cart import {names}\n\n\n{users}\n")

    assert made[-1].imports == ("shop.cart.name_59",)


def test_only_the_first_part_of_a_long_function_defines_it() -> None:
    body = "\n".join(f"    total = compute_something(total, {number})" for number in range(60))
    made = links("a.py", f"def run(total):\n{body}\n")

    assert len(made) > 1
    assert [one.defines for one in made] == [("run",), *[()] * (len(made) - 1)]
