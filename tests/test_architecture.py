"""Rules of the code base that neither the linter nor the type checker knows."""

import ast
import re
import statistics
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests import architecture

SAME_FILE_NAMES = {
    "index.py": {"domain/index.py", "qdrant/edge/index.py", "qdrant/server/index.py"},
    # Stores that mirror a noun of the domain, and the services that use them.
    "access_tokens.py": {"postgres/access_tokens.py", "services/access_tokens.py"},
    "audit.py": {"domain/audit.py", "postgres/audit.py"},
    "engines.py": {"domain/engines.py", "postgres/engines.py"},
    "erasures.py": {"domain/erasures.py", "postgres/erasures.py"},
    "experience.py": {
        "domain/experience.py",
        "postgres/experience.py",
        "retrieval/experience.py",
        "services/experience.py",
    },
    "index_log.py": {"domain/index_log.py", "postgres/index_log.py"},
    "index_queue.py": {"domain/index_queue.py", "postgres/index_queue.py"},
    "memories.py": {"services/memories.py", "postgres/memories.py"},
    "memory_changes.py": {"domain/memory_changes.py", "services/memory_changes.py", "postgres/memory_changes.py"},
    "quotas.py": {"domain/quotas.py", "postgres/quotas.py"},
    "tools.py": {"services/tools.py", "postgres/tools.py"},
}
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


def test_there_are_no_import_cycles() -> None:
    assert architecture.import_cycles() == []


def test_no_file_has_more_than_300_lines_and_the_median_has_at_most_130() -> None:
    lengths = architecture.file_lengths()
    assert {file: lines for file, lines in lengths.items() if lines > 300} == {}
    assert statistics.median(lengths.values()) <= 130


def test_no_function_has_more_than_50_lines_and_nine_of_ten_have_at_most_15() -> None:
    lengths = architecture.function_lengths()
    assert {function: lines for function, lines in lengths.items() if lines > 50} == {}
    assert architecture.p90(list(lengths.values())) <= 15


def test_three_modules_are_at_the_top_of_the_package() -> None:
    modules = {path.name for path in architecture.PACKAGE.glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "app.py", "settings.py"}


def test_each_file_name_stands_for_one_thing() -> None:
    paths = defaultdict(list)
    for path in architecture.PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            paths[path.name].append(path.relative_to(architecture.PACKAGE).as_posix())
    assert {name: set(same) for name, same in paths.items() if len(same) > 1} == SAME_FILE_NAMES


def test_no_two_classes_have_one_name() -> None:
    files = defaultdict(list)
    for file, node in architecture.definitions():
        if isinstance(node, ast.ClassDef):
            files[node.name.lstrip("_")].append(file)
    assert {name: same for name, same in files.items() if len(same) > 1} == {}


def test_every_logger_is_called_logger_and_named_after_its_module() -> None:
    loggers = [
        (file.name, line.strip())
        for file in architecture.PACKAGE.rglob("*.py")
        for line in file.read_text().splitlines()
        if "= logging.getLogger(" in line and "root" not in line
    ]
    assert len(loggers) > 10
    assert {line for _, line in loggers} == {"logger = logging.getLogger(__name__)"}


def test_no_module_and_no_class_has_an_empty_name() -> None:
    modules = {path: re.split(r"[/_.]", path) for path in architecture.file_lengths()}
    classes = {
        f"{path} {node.name}": re.findall(r"[A-Z][a-z]*", node.name)
        for path, node in architecture.definitions()
        if isinstance(node, ast.ClassDef)
    }
    named = {name: {word.lower() for word in words} & EMPTY_WORDS for name, words in (modules | classes).items()}
    assert {name: words for name, words in named.items() if words} == {}


def test_every_ignored_warning_gives_its_reason() -> None:
    ignores = [(line, comment) for line, comment in comments() if DIRECTIVE.search(comment)]
    assert [(line, comment) for line, comment in ignores if not reason(comment)] == []


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
