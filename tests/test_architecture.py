"""The house rules that neither the linter nor the type checker knows."""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from tests import architecture

EMPTY_WORDS = {"base", "common", "helper", "helpers", "manager", "managers", "util", "utils"}
DIRECTIVE = re.compile(
    r"#\s*(type:\s*ignore|mypy:\s*ignore|ruff:\s*noqa|noqa|pragma:\s*no cover)(\[[\w\-, ]*\]|:[\s\w,]*)?"
)


def test_the_import_contracts_hold() -> None:
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=architecture.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_no_imports_run_in_circles() -> None:
    assert architecture.import_cycles() == []


def test_no_file_has_more_than_300_lines() -> None:
    assert {file: lines for file, lines in architecture.file_lengths().items() if lines > 300} == {}


def test_no_function_has_more_than_60_lines() -> None:
    assert {function: lines for function, lines in architecture.function_lengths().items() if lines > 60} == {}


def test_nine_of_ten_functions_have_at_most_25_lines() -> None:
    assert architecture.p90(list(architecture.function_lengths().values())) <= 25


def test_no_module_and_no_class_has_a_name_that_says_nothing() -> None:
    modules = {place: re.split(r"[/_.]", place) for place in architecture.file_lengths()}
    classes = {
        f"{place} {node.name}": re.findall(r"[A-Z][a-z]*", node.name)
        for place, node in architecture.definitions()
        if isinstance(node, ast.ClassDef)
    }
    named = {name: {word.lower() for word in words} & EMPTY_WORDS for name, words in (modules | classes).items()}
    assert {name: words for name, words in named.items() if words} == {}


def test_every_ignored_warning_gives_its_reason() -> None:
    ignores = [(place, comment) for place, comment in comments() if DIRECTIVE.search(comment)]
    assert [(place, comment) for place, comment in ignores if not reason(comment)] == []


def test_a_bare_ignore_has_no_reason() -> None:
    assert not reason("# type: ignore[arg-type]")
    assert not reason("# noqa: S608, E501")
    assert not reason("# type: ignore[misc]  # noqa: F401")
    assert reason("# noqa: S608  # the name is a constant") == "the name is a constant"
    assert reason("# type: ignore[misc] - the stub is wrong") == "the stub is wrong"


def reason(comment: str) -> str:
    return DIRECTIVE.sub("", comment).strip(" #-")


def comments() -> Iterator[tuple[str, str]]:
    for folder in ("memos_mcp", "tests", "benchmarks", "examples"):
        for path in (architecture.ROOT / folder).rglob("*.py"):
            with path.open() as file:
                for token in tokenize.generate_tokens(file.readline):
                    if token.type == tokenize.COMMENT:
                        yield f"{path.relative_to(architecture.ROOT)}:{token.start[0]}", token.string
