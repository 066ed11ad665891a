from itertools import pairwise
from pathlib import Path

import pytest

from memos_mcp.domain.chunk import Chunk
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.code.grammars import GRAMMARS, grammar_of
from memos_mcp.ingest.code.sql_text import hide_other_languages
from memos_mcp.ingest.files.languages import language
from memos_mcp.ingest.reading import SourceText

SAMPLES = Path(__file__).parent / "samples"

SYMBOLS = {
    "Cart.kt": ["MAX_ITEMS", "Cart", "Cart.add", "Cart.total", "Cart.restored", "UnknownArticle, rounded"],
    "Invoice.cs": [
        *("", "Shop.Billing.Payment, Line", "Shop.Billing.Invoice", "Shop.Billing.Invoice.Invoice"),
        *("Shop.Billing.Invoice.Sum", "Shop.Billing.Invoice.Dispose", "Shop.Billing.IInvoiceStore"),
    ],
    "Price.hs": ["Price, Discount, Priced", "discounted", "total", "total"],
    "Router.php": ["DEFAULT_STATUS, Handler", "Router", "Router.add", "Router.handle", "dispatch"],
    "Stock.scala": ["Article, Stock", "Stock", "MemoryStock", "MemoryStock.add", "MemoryStock.amount", "Level"],
    "Store.swift": [
        "maximumAge, Storable, StoreError",
        *("Store", "Store.init", "Store.load", "Store", "normalized"),
    ],
    "cache.lua": ["socket, Cache, Cache.__index, DEFAULT_SIZE", "Cache.new", "Cache:get", "evict", "Cache.put"],
    "compose.yaml": ["services.web", "services.database", "volumes"],
    "deploy.sh": ["RELEASE_DIR", "stop_service", "unpack_release", ""],
    "mailer.rb": ["", "Shop", "Shop.Mailer.initialize", "Shop.Mailer.deliver", "Shop.Mailer.from_settings"],
    "network.tf": ["terraform", "variable.region", "resource.aws_security_group.web", "locals"],
    "orders.sql": ["order_state", "shop.orders", "orders_by_customer", "open_orders", "cancel_order", ""],
    "reduce.cu": ["kThreads", "block_sum", "Reducer.Reducer", "Reducer.run, count_, blocks_, sums_, stream_"],
    "ring.zig": [
        *("std, Error", "Ring", "Ring.push", "Ring.pop", "sum"),
        "items come out in the order in which they were pushed",
    ],
    "session.ex": [
        *("Shop.Session", "Shop.Session.start_link", "Shop.Session.handle_call", "Shop.Session.expired?"),
    ],
}


def of(path: str, text: str) -> list[Chunk]:
    return chunks(SourceText(path, b"", language(path, text), text))


@pytest.mark.parametrize("sample", sorted(file.name for file in SAMPLES.iterdir()))
def test_a_sample_of_each_language_is_cut_into_its_symbols_with_all_lines(sample: str) -> None:
    text = (SAMPLES / sample).read_text()
    made = of(sample, text)

    assert [chunk.name for chunk in made] == SYMBOLS[sample]
    assert made[0].first_line == 1
    assert made[-1].last_line == text.count("\n")
    lines = text.split("\n")
    for before, after in pairwise(made):
        assert not any(line.strip() for line in lines[before.last_line : after.first_line - 1])


def test_each_language_with_a_grammar_has_a_sample_or_a_test_of_its_own() -> None:
    sampled = {language(file.name, file.read_text()) for file in SAMPLES.iterdir()}
    older = {"python", "javascript", "typescript", "tsx", "go", "rust", "java", "c", "cpp"}

    assert sampled | older | {"hcl"} == set(GRAMMARS)


@pytest.mark.parametrize("name", sorted(GRAMMARS))
def test_a_grammar_names_only_kinds_of_nodes_that_its_language_has(name: str) -> None:
    grammar, tree = GRAMMARS[name], grammar_of(name)
    kinds = {*grammar.names, *grammar.definitions, *grammar.holders, *grammar.wrappers, *grammar.patterns}
    kinds |= {*grammar.bodies, *(field[1:-1] for field in grammar.names.values() if field.startswith("<"))}

    assert [kind for kind in sorted(kinds) if tree.id_for_node_kind(kind, True) is None] == []
    fields = {field for field in grammar.names.values() if field and not field.startswith("<")}
    assert [field for field in sorted(fields) if tree.field_id_for_name(field) is None] == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *(("main.dart", "dart"), ("api.proto", "protobuf"), ("App.fs", "fsharp"), ("build.gradle", "groovy")),
        *(("Vagrantfile", "ruby"), ("types.cuh", "cuda"), ("mix.exs", "elixir"), ("Build.sbt", "scala")),
        *(("site.tfvars", "terraform"), ("job.hcl", "hcl"), ("index.phtml", "php"), (".zshrc", "shell")),
    ],
)
def test_a_language_is_known_by_the_name_of_the_file(path: str, expected: str) -> None:
    assert language(path, "") == expected


def test_a_script_without_a_suffix_is_known_by_its_interpreter() -> None:
    assert language("run", "#!/usr/bin/env elixir\n") == "elixir"
    assert language("run", "#!/bin/dash\n") == "shell"


@pytest.mark.parametrize("path", ["main.dart", "api.proto"])
def test_a_language_without_a_grammar_is_in_the_metadata_and_is_cut_by_lines(path: str) -> None:
    (chunk,) = of(path, "class A {}\n")

    metadata = chunk.new_memory("shop").metadata
    assert metadata["language"] in {"dart", "protobuf"}
    assert "symbol" not in metadata


def test_keys_of_yaml_are_named_with_those_around_them_and_without_quotes() -> None:
    steps = "\n".join(f"      - run: make part-{number} of the whole thing" for number in range(40))
    text = f'name: build\n"on": push\njobs:\n  test:\n    steps:\n{steps}\n'

    made = of("ci.yml", text)

    assert made[0].name == "name, on"
    assert {chunk.name for chunk in made[1:]} == {"jobs.test.steps"}


def test_bodies_of_sql_functions_in_another_language_keep_the_name_of_the_function() -> None:
    body = "\n".join(f"    IF a = {number} THEN RAISE NOTICE 'a is %', a; END IF;" for number in range(30))
    text = f"CREATE FUNCTION count_up(a int) RETURNS void LANGUAGE plpgsql AS $f$\nBEGIN\n{body}\nEND\n$f$;\n"

    assert {chunk.name for chunk in of("a.sql", text)} == {"count_up"}


def test_hiding_other_languages_in_sql_moves_no_byte() -> None:
    source = "\\set é 1\nSELECT $$ü\n'$$, $a$ $$ $b$ $a$, $1, $$open".encode()

    hidden = hide_other_languages(source)

    assert len(hidden) == len(source)
    assert hidden == b"         \nSELECT '   \n  ', '            ', $1, $$open"


def test_lines_above_a_wrapper_belong_to_its_first_part() -> None:
    assert [chunk.first_line for chunk in of("a.yaml", "# What this is for.\nname: shop\n")] == [1]


def test_an_attribute_of_an_elixir_module_belongs_to_the_function_below() -> None:
    work = "\n".join(f"    total = compute_something(total, {number})" for number in range(10))
    attributes = '  @doc "Says what two does."\n  @spec two(integer) :: integer\n'
    text = (
        f"defmodule A do\n  def one(total) do\n{work}\n  end\n\n{attributes}  def two(total) do\n{work}\n  end\nend\n"
    )

    (second,) = (chunk for chunk in of("a.ex", text) if chunk.name == "A.two")
    assert second.text.startswith(attributes)
